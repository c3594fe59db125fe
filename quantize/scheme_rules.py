"""What NNCF refuses, checked before a weight is read: `nncf.….check_user_compression_configuration`, in a user's words."""

from __future__ import annotations

from ..core.errors import UsageError
from . import tensor_precision
from .modes import BACKUPS, FALLBACKS, INT8_MODES, ONLY_GROUP
from .request import Request

_PER_CHANNEL = -1


def refuse_compression(request: Request) -> None:
    """Raise UsageError for options that compress, beside a precision that does not."""
    given = [
        flag
        for flag, value in {
            "--group-size": request.group_size,
            "--group-size-fallback": request.group_size_fallback,
            "--ratio": request.ratio,
            "--sym/--asym": request.sym,
            "--backup-precision": request.backup_precision,
            "--all-layers": request.all_layers,
            tensor_precision.FLAG: request.tensor_precision or None,
        }.items()
        if value is not None
    ]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be used with --precision {request.precision}: nothing is compressed.",
            "Drop the option, or choose a compressed precision such as int4.",
        )


def check(request: Request, mode: str) -> None:
    """The rules of NNCF, as sentences for the person who types the options. Raises UsageError."""
    for text in request.tensor_precision:
        tensor_precision.parse(text)
    if mode in INT8_MODES:
        given = [
            flag
            for flag, wrong in {
                "--ratio": request.ratio not in (None, 1.0),
                "--group-size": request.group_size not in (None, _PER_CHANNEL),
                "--group-size-fallback": request.group_size_fallback is not None,
                "--all-layers": request.all_layers is not None,
                "--backup-precision": request.backup_precision is not None,
            }.items()
            if wrong
        ]
        if given:
            raise UsageError(
                f"{', '.join(given)} cannot be used with {mode}: it compresses every layer, one scale per row.",
                "Drop the option, or choose int4.",
            )
    if request.ratio is not None and not 0 <= request.ratio <= 1:
        raise UsageError(f"--ratio must lie between 0 and 1, not {request.ratio:g}.", "Leave it out for the default.")
    if request.group_size is not None and (request.group_size == 0 or request.group_size < _PER_CHANNEL):
        raise UsageError(
            f"--group-size must be positive, or -1 for one scale per row, not {request.group_size}.",
            "Common ones are 128, 64 and 32.",
        )
    if request.backup_precision is not None and request.backup_precision not in BACKUPS:
        raise UsageError(f"Unknown backup precision {request.backup_precision!r}.", f"One of: {', '.join(BACKUPS)}.")
    if request.group_size_fallback is not None and request.group_size_fallback not in FALLBACKS:
        raise UsageError(
            f"Unknown group size fallback {request.group_size_fallback!r}.", f"One of: {', '.join(FALLBACKS)}."
        )
    only = ONLY_GROUP.get(mode)
    if only and request.group_size not in (None, only):
        raise UsageError(f"{mode} has groups of {only} by its definition, not {request.group_size}.", "Leave it out.")
    if only and request.group_size_fallback == "adjust":
        raise UsageError(f"{mode} cannot adjust its group size.", "Use --group-size-fallback ignore or error.")

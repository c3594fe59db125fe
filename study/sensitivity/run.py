"""`edgeconv sensitivity`: a checkpoint, fetched if need be, and what compressing each part of it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from ...convert.conversion import source
from ...convert.conversion.artifact import versions
from ...core.errors import UsageError
from ...core.progress import Progress, Silent
from ..options import BY, METHODS, SensitivityOptions

if TYPE_CHECKING:
    from .codec import Codec
    from .model import Sensitivity
    from .subject import Subject

By = Literal["layer", "component", "tensor"]
VERSIONS = ("edgeconv", "torch", "transformers")
WITH_IMAGES = (
    "The vision tower is measured in eight bits, below which no artifact stores it, on the words behind pictures; the other "
    "parts are measured on texts."
)
LEFT_OUT = (
    "The vision tower was left out: --by tensor measures on texts, which do not reach it. --by component measures it."
)
NO_PICTURES = "The vision tower was left out: the suite has no pictures."


def run(asked: SensitivityOptions, progress: Progress | None = None) -> Sensitivity:
    """Measure; figures that an earlier run made are taken from the cache.

    Raises:
        EdgeconvError: any of the family.
    """
    from . import estimate, exact
    from .model import Sensitivity
    from .subject import open_subject

    progress = progress or Silent()
    method, by = _method(asked), cast(By, asked.by)
    opened = source.whole(
        asked.model,
        asked.revision,
        progress,
        runs_code=False,
        local_files_only=asked.local_files_only,
        keeps_digests=True,
    )
    chosen = _codec(asked, opened.checkpoint.config)
    window = estimate.WINDOW if method == "estimate" else None
    subject = open_subject(
        opened.checkpoint, opened.name, progress, suite=asked.suite, tokens=asked.tokens, window=window
    )
    parts = (
        estimate.measure(subject, chosen, progress)
        if method == "estimate"
        else exact.measure(subject, by, chosen, progress)
    )
    if subject.takes_images and asked.by != "tensor" and subject.suite.pictures:
        from . import tower

        parts.append(tower.measure(subject, chosen, progress))
    opened.checkpoint.require_unchanged()
    return Sensitivity(
        model=subject.name,
        weights_digest=subject.digest,
        suite=subject.suite.name,
        suite_digest=subject.suite.digest,
        tokens=sum(map(len, subject.ids)),
        documents=len(subject.ids),
        precision=str(chosen),
        by=by,
        method=method,
        parts=parts,
        notes=_notes(subject, by),
        versions=versions(VERSIONS),
    )


def _notes(subject: Subject, by: str) -> list[str]:
    if not subject.takes_images:
        return []
    return [LEFT_OUT] if by == "tensor" else [WITH_IMAGES] if subject.suite.pictures else [NO_PICTURES]


def _method(asked: SensitivityOptions) -> Literal["exact", "estimate"]:
    if asked.method not in METHODS:
        raise UsageError(f"Unknown method {asked.method!r}.", f"One of: {', '.join(METHODS)}.")
    if asked.by not in BY:
        raise UsageError(f"Parts cannot be cut by {asked.by!r}.", f"One of: {', '.join(BY)}.")
    if asked.method == "estimate" and asked.by != "tensor":
        raise UsageError("--method estimate is for --by tensor.", "Layers and components are run in full.")
    return "estimate" if asked.method == "estimate" or (asked.method == "auto" and asked.by == "tensor") else "exact"


def _codec(asked: SensitivityOptions, config: dict[str, Any]) -> Codec:
    """Take plain int4 for what `edgeconv openvino` takes it for: the choice of the model's makers, if they published one."""
    from ...convert.families import int4_default
    from ...quantize.scheme import Request, resolve
    from .codec import Codec, codec

    if asked.precision != "int4":
        return codec(asked.precision, asked.group_size)
    scheme = resolve(Request("int4", group_size=asked.group_size), int4_default(config), str(config["model_type"]))
    return Codec(scheme.mode, scheme.group_size)

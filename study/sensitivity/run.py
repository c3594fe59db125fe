"""`edgeconv sensitivity`: a checkpoint, fetched if need be, and what compressing each part of it costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...convert.conversion import source
from ...convert.conversion.artifact import versions
from ...core.errors import UsageError
from ...core.progress import Progress, Silent

if TYPE_CHECKING:
    from .codec import Codec
    from .model import Sensitivity
    from .subject import Subject

By = Literal["layer", "component", "tensor"]
METHODS = ("auto", "exact", "estimate")
BY = ("layer", "component", "tensor")
VERSIONS = ("edgeconv", "torch", "transformers")
TOKENS = 2048
WITH_IMAGES = (
    "The vision tower is measured in eight bits, below which no artifact stores it, on the words behind pictures; the other "
    "parts are measured on texts."
)
LEFT_OUT = (
    "The vision tower was left out: --by tensor measures on texts, which do not reach it. --by component measures it."
)
NO_PICTURES = "The vision tower was left out: the suite has no pictures."


@dataclass(frozen=True)
class SensitivityJob:
    """What a user asks.

    Attributes:
        model: a Hub id or a folder.
        precision: "int4", "int8", a mode of NNCF, or a type of ggml.
        group_size: of an int4 mode; None: 128.
        by: what is compressed at a time.
        method: "exact" runs every part, "estimate" is of second order and for tensors only; "auto" estimates tensors.
        suite: a file of texts; None: edgeconv's own.
        tokens: how many of its tokens.
        revision: of the Hub's repository.
        local_files_only: ask the Hub nothing.
    """

    model: str
    precision: str = "int4"
    group_size: int | None = None
    by: By = "layer"
    method: str = "auto"
    suite: Path | None = None
    tokens: int = TOKENS
    revision: str | None = None
    local_files_only: bool = False


def run(job: SensitivityJob, progress: Progress | None = None) -> Sensitivity:
    """Measure; figures that an earlier run made are taken from the cache.

    Raises:
        EdgeconvError: any of the family.
    """
    from . import estimate, exact
    from .model import Sensitivity
    from .subject import open_subject

    progress = progress or Silent()
    method = _method(job)
    opened = source.whole(
        job.model, job.revision, progress, runs_code=False, local_files_only=job.local_files_only, keeps_digests=True
    )
    chosen = _codec(job, opened.checkpoint.config)
    window = estimate.WINDOW if method == "estimate" else None
    subject = open_subject(opened.checkpoint, opened.name, progress, suite=job.suite, tokens=job.tokens, window=window)
    parts = (
        estimate.measure(subject, chosen, progress)
        if method == "estimate"
        else exact.measure(subject, job.by, chosen, progress)
    )
    if subject.takes_images and job.by != "tensor" and subject.suite.pictures:
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
        by=job.by,
        method=method,
        parts=parts,
        notes=_notes(subject, job.by),
        versions=versions(VERSIONS),
    )


def _notes(subject: Subject, by: str) -> list[str]:
    if not subject.takes_images:
        return []
    return [LEFT_OUT] if by == "tensor" else [WITH_IMAGES] if subject.suite.pictures else [NO_PICTURES]


def _method(job: SensitivityJob) -> Literal["exact", "estimate"]:
    if job.method not in METHODS:
        raise UsageError(f"Unknown method {job.method!r}.", f"One of: {', '.join(METHODS)}.")
    if job.by not in BY:
        raise UsageError(f"Parts cannot be cut by {job.by!r}.", f"One of: {', '.join(BY)}.")
    if job.method == "estimate" and job.by != "tensor":
        raise UsageError("--method estimate is for --by tensor.", "Layers and components are run in full.")
    return "estimate" if job.method == "estimate" or (job.method == "auto" and job.by == "tensor") else "exact"


def _codec(job: SensitivityJob, config: dict[str, Any]) -> Codec:
    """Take plain int4 for what `edgeconv openvino` takes it for: the choice of the model's makers, if they published one."""
    from ...convert.families import int4_default
    from ...quantize.scheme import Request, resolve
    from .codec import Codec, codec

    if job.precision != "int4":
        return codec(job.precision, job.group_size)
    scheme = resolve(Request("int4", group_size=job.group_size), int4_default(config), str(config["model_type"]))
    return Codec(scheme.mode, scheme.group_size)

"""The first half of a conversion to GGUF: what will be written, byte by byte, and what that costs."""

from __future__ import annotations

import fnmatch
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import UsageError
from ...core.progress import Progress
from ...quantize.ggml.choose import engine_for
from .. import families
from ..gguf import export, imatrix, mmproj
from ..gguf.metadata import Origin
from ..program.decoder import Decoder
from ..tensor_accounting import check_coverage
from . import calibrator as calibrating
from . import memory, smoke
from .calibrator import CHUNK, TEXTS
from .conflicts import Collector
from .cost import cost, require
from .gguf_plan import SUFFIX, GgufJob, GgufPlan, check_place
from .source import OpenedSource

if TYPE_CHECKING:
    from ..gguf.imatrix import ImportanceFile
    from ..gguf.mmproj import Projector


@dataclass(frozen=True)
class Prepared:
    """A plan, and what carrying it out needs."""

    plan: GgufPlan
    prepared: export.Prepared
    importance: ImportanceFile | None
    projector: Projector | None = None


def prepare(
    job: GgufJob, opened: OpenedSource, collector: Collector, progress: Progress | None, runner: smoke.Runner
) -> Prepared:
    """Read configs, tokenizer and headers; with `progress` also run the model over a text for an importance matrix.

    Raises:
        EdgeconvError: any of the family.
    """
    importance = _importance(job, opened, progress)
    kind, checkpoint = job.recipe.file_type, opened.checkpoint
    output = job.output or Path(f"{opened.base_name}-gguf-{kind}")
    prepared = export.prepare(
        checkpoint,
        job.recipe,
        output.name if output.suffix == SUFFIX else f"{opened.base_name}-{kind.upper()}{SUFFIX}",
        origin=Origin(opened.base_name, opened.repo_id, opened.commit),
        importance=importance.importance if importance else None,
        pre=job.pre,
        split_max_size=job.split_max_size,
        keys=importance.keys() if importance else None,
    )
    projector = _projector(job, opened, prepared)
    files = [file.name for file in prepared.layout.files] + ([projector.file.name] if projector else [])
    size = prepared.size + (projector.file.size if projector else 0)
    told = cost(opened.pending, output, size, _memory(job, opened, prepared, importance))
    collector.check(lambda: check_place(output, files, force=job.force))
    collector.check(lambda: require(told.disks))
    planned = GgufPlan(
        source=opened.name,
        commit=opened.commit,
        model_type=checkpoint.model_type,
        architecture=prepared.model.arch,
        parameters=checkpoint.parameters,
        recipe=job.recipe,
        types=dict(Counter(placed.type.name for placed in prepared.layout.tensors).most_common()),
        engine="stream",
        compressor=_compressor(prepared, importance),
        imatrix=importance.describe() if importance else None,
        input_bytes=checkpoint.size,
        output_bytes=size,
        output=output,
        files=files,
        assumed=prepared.assumed,
        notes=[
            *checkpoint.notes,
            *prepared.notes,
            *_uncovered(prepared, importance),
            *(projector.declared.deviations if projector else _left_out(opened, prepared)),
        ],
        vision=f"{projector.precision}, in {projector.file.name}" if projector else None,
        cost=told,
        smoke_test=smoke.planned(job.smoke_test, runner, size),
        conflicts=collector.conflicts(),
    )
    return Prepared(planned, prepared, importance, projector)


def _importance(job: GgufJob, opened: OpenedSource, progress: Progress | None) -> ImportanceFile | None:
    """Read an importance matrix, or compute it if `--imatrix` is a text."""
    if job.imatrix is None:
        return None
    if job.imatrix.suffix.lower() not in TEXTS:
        return imatrix.read(job.imatrix)
    return calibrating.require(job.calibrator).importance(job.imatrix, opened.checkpoint, progress)


def _memory(job: GgufJob, opened: OpenedSource, prepared: export.Prepared, importance: ImportanceFile | None) -> int:
    tokens = importance.chunks * CHUNK if job.imatrix and importance and job.imatrix.suffix.lower() in TEXTS else 0
    return memory.gguf(opened.checkpoint, prepared.layout.tensors, calibration_tokens=tokens)


def _projector(job: GgufJob, opened: OpenedSource, prepared: export.Prepared) -> Projector | None:
    """Describe the file of the vision part; None if there is no such half, or the user does not want it."""
    checkpoint = opened.checkpoint
    decoder = prepared.model.decoder
    vision = families.vision(checkpoint.config, checkpoint.names, decoder) if isinstance(decoder, Decoder) else None
    if vision is None and job.vision_precision:
        raise UsageError("--vision-precision has no meaning for a text model.", "Leave it out.")
    if vision is None or job.vision_precision == "none":
        return None
    part = families.vision_part(vision.family)
    declared = part.mmproj if part else None
    if declared is None:
        raise UsageError(
            f"The vision part of {vision.family} cannot be written as GGUF.",
            "--vision-precision none leaves it out; edgeconv openvino and edgeconv onnx take it.",
        )
    assert isinstance(decoder, Decoder)
    unused = (*families.unused_tensors(checkpoint.model_type, checkpoint.names), *vision.unused)
    expected = decoder.tensors() | vision.tensors()
    check_coverage(checkpoint, expected, vision.family, tied=decoder.tied, allowed=unused)
    precision = job.vision_precision or "fp16"
    name = f"{opened.base_name}-{mmproj.PRECISIONS.get(precision, precision).upper()}{SUFFIX}"
    if job.output is not None and job.output.suffix == SUFFIX:
        name = job.output.name
    origin = Origin(opened.base_name, opened.repo_id, opened.commit)
    return mmproj.prepare(
        checkpoint, declared, vision.tensors(), mmproj.PREFIX + name, precision=precision, origin=origin
    )


def _compressor(prepared: export.Prepared, importance: ImportanceFile | None) -> str:
    """Name the engines that quantize, and refuse an importance matrix that none of them would see."""
    names = {placed.tensor.name for placed in prepared.layout.tensors}
    weighted = names & set(importance.importance) if importance else set()
    if importance and not weighted:
        raise UsageError(
            f"{importance.path} knows no tensor of this model.", "It was made for a model of another architecture."
        )
    quantized = [placed for placed in prepared.layout.tensors if placed.type.quantized]
    engines = {engine_for(placed.type, placed.tensor.name in weighted).name for placed in quantized}
    return ", ".join(sorted(engines)) or "none"


_NEVER_COVERED = ("token_embd.weight", "output.weight")
"""Matrices whose inputs llama-imatrix does not collect unless it is told to."""


def _uncovered(prepared: export.Prepared, importance: ImportanceFile | None) -> list[str]:
    """Say which quantized matrices an importance matrix leaves out: they are rounded as if there were none."""
    if importance is None:
        return []
    quantized = [placed.tensor.name for placed in prepared.layout.tensors if placed.type.quantized]
    names = [name for name in quantized if name not in _NEVER_COVERED]
    left = [name for name in names if name not in importance.importance]
    if not left:
        return []
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return [
        f"The importance matrix knows {len(names) - len(left)} of {len(names)} matrices; not {', '.join(left[:3])}{more}, which "
        "are rounded without it."
    ]


def _left_out(opened: OpenedSource, prepared: export.Prepared) -> list[str]:
    patterns = prepared.model.skipped_tensors if isinstance(prepared.model.decoder, Decoder) else ()
    count = sum(any(fnmatch.fnmatchcase(name, p) for p in patterns) for name in opened.checkpoint.names)
    if not count:
        return []
    return [f"Only the language model is written: {count} tensors of the vision part are left out."]

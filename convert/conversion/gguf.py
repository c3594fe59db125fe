"""A checkpoint becomes a GGUF: a folder with file and manifest, or one file with its manifest beside it."""

from __future__ import annotations

import fnmatch
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.digest import sha256_file
from ...core.errors import UsageError
from ...core.inputs import InputDigests
from ...core.manifest import MANIFEST_NAME, Manifest, log_path, sidecar
from ...core.progress import Progress, Silent
from ...core.staging import check_files, check_output, staged, staged_files
from ...quantize.ggml.choose import engine_for
from .. import families
from ..gguf import export, imatrix, mmproj
from ..gguf.metadata import Origin
from . import calibrator as calibrating
from . import memory, smoke, source
from .artifact import Artifact, bits_per_weight, outputs, source_of, versions, write_log
from .calibrator import CHUNK, TEXTS
from .conflicts import Collector
from .cost import cost, require
from .gguf_plan import SUFFIX, GgufJob, GgufPlan
from .source import Opened

if TYPE_CHECKING:
    from ..gguf.export import Prepared
    from ..gguf.imatrix import ImportanceFile
    from ..gguf.mmproj import Projector

READ = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "tokenizer.model", "chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
    "preprocessor_config.json", "README.md",
)  # fmt: skip
"""Files beside the weights that shape the result."""
VERSIONS = ("edgeconv", "gguf", "tokenizers")

__all__ = ["GgufJob", "GgufPlan", "plan", "run"]


@dataclass(frozen=True)
class _Ready:
    """A plan, and what carrying it out needs."""

    plan: GgufPlan
    prepared: Prepared
    importance: ImportanceFile | None
    projector: Projector | None = None


def plan(job: GgufJob, progress: Progress | None = None) -> GgufPlan:
    """Read configs, tokenizer and headers only; say what a run would do and cost, and what it would stop at.

    Raises:
        EdgeconvError: any of the family; nothing was written.
    """
    return _prepare(job, _headers(job, progress or Silent()), None, Collector(stops=False)).plan


def run(job: GgufJob, progress: Progress | None = None) -> Artifact:
    """Convert.

    Raises:
        EdgeconvError: any of the family; nothing is left under the output's name, or what was there stays as it was.
    """
    progress = progress or Silent()
    started = time.time()
    if job.output is not None:
        _check_output(job.output, [job.output.name], force=job.force)
    if source.is_remote(job.model):  # what cannot work, or does not fit, must not cost a download
        _prepare(job, _headers(job, progress), None, Collector(stops=True))
    opened = source.whole(
        job.model,
        job.revision,
        progress,
        runs_code=False,
        local_files_only=job.local_files_only,
        keeps_digests=job.keeps_digests,
    )
    ready = _prepare(job, opened, progress, Collector(stops=True))
    planned = ready.plan
    for label, value in planned.rows():
        progress.note(f"{label}: {value}")
    name = sidecar(planned.output).name if planned.single else MANIFEST_NAME
    with _staging(planned, progress, force=job.force) as folder:
        manifest = _convert(ready, opened, folder, progress)
        manifest.write(folder, name)
        seconds = time.time() - started
        tried = smoke.run(planned.smoke_test, manifest, folder, progress)
        write_log(log_path(folder / name), job.model, opened.folder, started=started, seconds=seconds, smoke=tried)
    path = planned.output.with_name(planned.files[0]) if planned.single else planned.output
    return Artifact(path, manifest, planned, seconds, tried)


def _headers(job: GgufJob, progress: Progress) -> Opened:
    return source.headers(job.model, job.revision, progress, runs_code=False, local_files_only=job.local_files_only)


def _staging(planned: GgufPlan, progress: Progress, *, force: bool) -> AbstractContextManager[Path]:
    stage = staged_files if planned.single else staged
    return stage(planned.output, force=force, progress=progress)


def _check_output(output: Path, names: list[str], *, force: bool) -> None:
    if output.suffix == SUFFIX:
        check_files(output, names, force=force)
    else:
        check_output(output, force=force)


def _prepare(job: GgufJob, opened: Opened, progress: Progress | None, collector: Collector) -> _Ready:
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
    collector.check(lambda: _check_output(output, files, force=job.force))
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
            *(mmproj.DEVIATIONS if projector else _left_out(opened, prepared)),
        ],
        vision=f"{projector.precision}, in {projector.file.name}" if projector else None,
        cost=told,
        smoke_test=smoke.planned(job.smoke_test, "gguf", size),
        conflicts=collector.conflicts(),
    )
    return _Ready(planned, prepared, importance, projector)


def _importance(job: GgufJob, opened: Opened, progress: Progress | None) -> ImportanceFile | None:
    """Read an importance matrix, or compute it if `--imatrix` is a text."""
    if job.imatrix is None:
        return None
    if job.imatrix.suffix.lower() not in TEXTS:
        return imatrix.read(job.imatrix)
    return calibrating.require(job.calibrator).importance(job.imatrix, opened.checkpoint, progress)


def _memory(job: GgufJob, opened: Opened, prepared: Prepared, importance: ImportanceFile | None) -> int:
    tokens = importance.chunks * CHUNK if job.imatrix and importance and job.imatrix.suffix.lower() in TEXTS else 0
    return memory.gguf(opened.checkpoint, prepared.layout.tensors, calibration_tokens=tokens)


def _projector(job: GgufJob, opened: Opened, prepared: Prepared) -> Projector | None:
    """Describe the file of the half that sees; None if there is no such half, or the user does not want it."""
    checkpoint = opened.checkpoint
    vision = families.vision(checkpoint.config, checkpoint.names, prepared.model.decoder)
    if vision is None and job.vision_precision:
        raise UsageError("--vision-precision has no meaning for a text model.", "Leave it out.")
    if vision is None or job.vision_precision == "none":
        return None
    precision = job.vision_precision or "fp16"
    name = f"{opened.base_name}-{mmproj.PRECISIONS.get(precision, precision).upper()}{SUFFIX}"
    if job.output is not None and job.output.suffix == SUFFIX:
        name = job.output.name
    origin = Origin(opened.base_name, opened.repo_id, opened.commit)
    return mmproj.prepare(checkpoint, vision, mmproj.PREFIX + name, precision=precision, origin=origin)


def _compressor(prepared: Prepared, importance: ImportanceFile | None) -> str:
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


def _uncovered(prepared: Prepared, importance: ImportanceFile | None) -> list[str]:
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


def _left_out(opened: Opened, prepared: Prepared) -> list[str]:
    patterns = prepared.model.skipped_tensors
    count = sum(any(fnmatch.fnmatchcase(name, p) for p in patterns) for name in opened.checkpoint.names)
    if not count:
        return []
    return [f"Only the language half is written: {count} tensors of the half that sees are left out."]


def _scheme(ready: _Ready) -> dict[str, Any]:
    """The recipe, and the importance matrix by its digest: the two that decide on every byte."""
    scheme, given = ready.plan.recipe.as_dict(), ready.importance
    if given is None:
        return scheme
    facts = {
        "file": given.path.name,
        "sha256": sha256_file(given.path),
        "dataset": given.dataset,
        "chunks": given.chunks,
    }
    return {**scheme, "imatrix": facts}


def _convert(ready: _Ready, opened: Opened, folder: Path, progress: Progress) -> Manifest:
    checkpoint, planned = opened.checkpoint, ready.plan
    patterns = () if checkpoint.is_file else READ
    found = [path for pattern in patterns for path in sorted(checkpoint.origin.glob(pattern)) if path.is_file()]
    names = [path.relative_to(checkpoint.origin).as_posix() for path in found] + sorted(checkpoint.shards)
    digests = InputDigests(checkpoint.origin, names, opened.known, progress, checkpoint.unchanged)
    exported = export.export(
        checkpoint,
        ready.prepared,
        folder,
        importance=ready.importance.importance if ready.importance else None,
        progress=progress,
    )
    tensors, known = exported.tensors, exported.digests
    if ready.projector:
        known = known | mmproj.export(checkpoint, ready.projector, folder, progress)
        own = [placed.entry() for placed in ready.projector.file.tensors]
        tensors = [*tensors, *(entry.model_copy(update={"file": ready.projector.file.name}) for entry in own)]
    return Manifest(
        target="gguf",
        source=source_of(checkpoint, opened.repo_id, opened.commit, digests.result()),
        engine=planned.engine,
        compressor=planned.compressor,
        scheme=_scheme(ready),
        assumed=planned.assumed,
        notes=planned.notes,
        bits_per_weight=bits_per_weight(tensors),
        tensors=tensors,
        versions=versions(VERSIONS),
        outputs=outputs(folder, known),
    )

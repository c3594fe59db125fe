"""A checkpoint becomes a folder with an ONNX model for onnxruntime, tokenizer and configs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ...core import tokenizer_rebuilt
from ...core.errors import UsageError
from ...core.inputs import InputDigests
from ...core.manifest import LOG_NAME, Manifest
from ...core.progress import Progress, Silent
from ...core.staging import check_output, staged
from ...quantize.assign import check_groups
from ...quantize.scheme import Scheme, resolve, resolve_vision
from ...quantize.tensor_precision import require_found
from .. import card, families, tokenizer_copy
from ..checkpoint import Checkpoint
from ..families.decoder import TABLE
from ..families.glm_edge_v import Vision
from ..onnx import assets, export, models, tokenizer, trace
from ..onnx import sizes as sizes_of
from ..onnx.choose import Choice, choose
from ..onnx.names import LANGUAGE, TEXT_EMBEDDINGS
from ..openvino import stream, vision_files
from ..openvino.engine import Exported
from ..openvino.tokenizer import require_files
from . import memory, smoke, source
from . import vision_facts as seeing
from .artifact import Artifact, bits_per_weight, outputs, source_of, versions, write_log
from .conflicts import Collector
from .cost import cost, require
from .onnx_plan import OnnxJob, OnnxPlan
from .source import Opened

VERSIONS = ("edgeconv", "onnx", "tokenizers")
TRACE_VERSIONS = ("onnxscript", "torch", "transformers")
PACKAGE = "onnx"

__all__ = ["OnnxJob", "OnnxPlan", "plan", "run"]


@dataclass(frozen=True)
class _Ready:
    """A plan, and what carrying it out needs."""

    plan: OnnxPlan
    choice: Choice


def plan(job: OnnxJob, progress: Progress | None = None) -> OnnxPlan:
    """Read configs and headers only; say what a run would do and cost, and what it would stop at.

    Raises:
        EdgeconvError: any of the family; nothing was written.
    """
    return _prepare(job, _headers(job, progress or Silent()), Collector(stops=False)).plan


def run(job: OnnxJob, progress: Progress | None = None) -> Artifact:
    """Convert.

    Raises:
        EdgeconvError: any of the family; nothing is left under the output's name, or what was there stays as it was.
    """
    progress = progress or Silent()
    started = time.time()
    if job.output is not None:
        check_output(job.output, force=job.force)
    if source.is_remote(job.model):  # what cannot work, or does not fit, must not cost a download
        _prepare(job, _headers(job, progress), Collector(stops=True))
    opened = source.whole(
        job.model,
        job.revision,
        progress,
        runs_code=False,
        local_files_only=job.local_files_only,
        keeps_digests=job.keeps_digests,
    )
    ready = _prepare(job, opened, Collector(stops=True))
    for label, value in ready.plan.rows():
        progress.note(f"{label}: {value}")
    with staged(ready.plan.output, force=job.force, progress=progress) as folder:
        manifest = _convert(ready, opened, folder, progress)
        manifest.write(folder)
        seconds = time.time() - started
        tried = smoke.run(ready.plan.smoke_test, manifest, folder, progress)
        write_log(folder / LOG_NAME, job.model, opened.folder, started=started, seconds=seconds, smoke=tried)
    return Artifact(ready.plan.output, manifest, ready.plan, seconds, tried)


def _headers(job: OnnxJob, progress: Progress) -> Opened:
    return source.headers(job.model, job.revision, progress, runs_code=False, local_files_only=job.local_files_only)


def require_package() -> None:
    """Raise UsageError if onnx is not installed."""
    import importlib.util

    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(
            "ONNX models are written with the package onnx, which is not installed.", "pip install 'edgeconv[onnx]'"
        )


def _prepare(job: OnnxJob, opened: Opened, collector: Collector) -> _Ready:
    require_package()
    checkpoint = opened.checkpoint
    require_files(checkpoint.folder)
    said = tokenizer.check(checkpoint.folder, checkpoint.config)
    choice = choose(checkpoint, job.engine)
    vision = choice.vision
    scheme, vision_scheme = _schemes(job, checkpoint, vision, collector)
    notes = _check(checkpoint, choice, scheme, collector)
    parts = _models(checkpoint, choice, scheme, vision_scheme)
    predicted = collector.check(lambda: export.predicted_size(checkpoint, parts, job.accuracy_level))
    collector.stop()
    described = choice.decoder or sizes_of.of_config(checkpoint.config)
    layers = described.num_layers if described else 0
    output = job.output or Path(f"{opened.base_name}-onnx-{scheme.precision}")
    size = (predicted or 0) + assets.size(checkpoint, described, vision) + _graph(choice, layers)
    tensors = [stored for model in parts for stored in model.forecast(checkpoint)]
    told = cost(opened.pending, output, size, memory.onnx(checkpoint, tensors, layers, engine=choice.engine))
    collector.check(lambda: check_output(output, force=job.force))
    collector.check(lambda: require(told.disks))
    planned = OnnxPlan(
        source=opened.name,
        commit=opened.commit,
        model_type=vision.family if vision else checkpoint.model_type,
        parameters=checkpoint.parameters,
        engine=choice.engine,
        engine_reason=choice.reason,
        compressor="edgeconv" if scheme.compresses else "none",
        scheme=scheme,
        accuracy_level=job.accuracy_level,
        input_bytes=checkpoint.size,
        output_bytes=size,
        output=output,
        assumed=[*(choice.decoder.assumed if choice.decoder else ()), *(vision.assumed if vision else ())],
        notes=[*checkpoint.notes, *choice.notes, *said, *notes],
        vision_scheme=vision_scheme,
        image_tokens=vision.image_tokens if vision else None,
        cost=told,
        smoke_test=smoke.planned(job.smoke_test, "onnx", size),
        conflicts=collector.conflicts(),
    )
    return _Ready(planned, choice)


def _models(checkpoint: Checkpoint, choice: Choice, scheme: Scheme, vision_scheme: Scheme | None) -> list[models.Model]:
    if choice.decoder:
        return models.cut(choice.decoder, scheme, choice.vision, vision_scheme)
    return [trace.forecast(checkpoint, scheme)]


def _graph(choice: Choice, layers: int) -> int:
    """Return the bytes of a graph that the forecast leaves out: a trace's is known once it is made."""
    return 0 if choice.decoder else trace.GRAPH + layers * trace.GRAPH_LAYER


def _schemes(
    job: OnnxJob, checkpoint: Checkpoint, vision: Vision | None, collector: Collector
) -> tuple[Scheme, Scheme | None]:
    if job.accuracy_level not in export.ACCURACY_LEVELS:
        levels = ", ".join(map(str, export.ACCURACY_LEVELS))
        raise UsageError(f"--accuracy-level must be one of {levels}, not {job.accuracy_level}.")
    family = vision.family if vision else checkpoint.model_type
    scheme = resolve(job.request, families.int4_default(checkpoint.config, vision), family)
    export.require_expressible(scheme)
    if vision:
        return scheme, resolve_vision(job.vision_precision, scheme, family)
    if job.vision_precision:
        collector.check(lambda: _refuse("--vision-precision has no meaning for a text model.", "Leave it out."))
    return scheme, None


def _check(checkpoint: Checkpoint, choice: Choice, scheme: Scheme, collector: Collector) -> list[str]:
    """Check tensors and small files, and say what the scheme does to the rows."""
    decoder, vision, said = choice.decoder, choice.vision, []
    if decoder is None:
        trace.require_package()
        weights = trace.forecast(checkpoint, scheme).weights
    else:
        stream.check(checkpoint, decoder, vision)
        if vision:
            said = vision_files.check(checkpoint.folder, vision)
            if decoder.tied:
                said.append(f"the head is the table of embeddings, which {LANGUAGE} and {TEXT_EMBEDDINGS} both hold")
        weights = stream.weights(decoder, scheme, vision)
    names = [*(weight.name for weight in weights), *([TABLE] if vision else [])]
    collector.check(lambda: require_found(names, scheme.tensor_precision))
    groups = collector.check(lambda: check_groups(weights, scheme))
    return said + (groups or [])


def _refuse(reason: str, hint: str) -> None:
    raise UsageError(reason, hint)


def _convert(ready: _Ready, opened: Opened, folder: Path, progress: Progress) -> Manifest:
    from ..openvino.assets import sources

    checkpoint, planned = opened.checkpoint, ready.plan
    cards = [p.name for p in [checkpoint.origin / card.README] if p.is_file()]
    taken = [str(path.relative_to(checkpoint.origin)) for path in sources(checkpoint.origin)]
    small = [] if checkpoint.is_file else taken + cards
    digests = InputDigests(
        checkpoint.origin, small + sorted(checkpoint.shards), opened.known, progress, checkpoint.unchanged
    )
    exported = _write(ready, checkpoint, folder, progress)
    rebuilt = tokenizer_rebuilt.may_be(checkpoint.folder) and tokenizer_rebuilt.asked(checkpoint.folder)["rebuilt"]
    kept = tokenizer_copy.keep_pipeline(folder) if rebuilt else []
    vision = ready.choice.vision
    return Manifest(
        target="onnx",
        source=source_of(checkpoint, opened.repo_id, opened.commit, digests.result()),
        engine=planned.engine,
        compressor=exported.compressor,
        scheme=planned.scheme.as_dict(),
        vision=seeing.facts(vision, exported.vision_scheme),
        row_order="source",
        assumed=planned.assumed,
        notes=planned.notes + exported.notes + kept,
        bits_per_weight=bits_per_weight(exported.tensors),
        tensors=exported.tensors,
        versions=versions(VERSIONS + (TRACE_VERSIONS if planned.engine == "trace" else ())),
        outputs=outputs(folder, exported.digests),
    )


def _write(ready: _Ready, checkpoint: Checkpoint, folder: Path, progress: Progress) -> Exported:
    """Write the models and what lies beside them."""
    planned, choice = ready.plan, ready.choice
    if choice.decoder is None:
        made = trace.prepare(checkpoint, progress)
        exported = trace.write(
            checkpoint, made, planned.scheme, folder, accuracy_level=planned.accuracy_level, progress=progress
        )
        assets.write(checkpoint, trace.sizes(checkpoint, made), folder)
        return exported
    exported = export.export(
        checkpoint,
        choice.decoder,
        planned.scheme,
        folder,
        vision=choice.vision,
        vision_scheme=planned.vision_scheme,
        accuracy_level=planned.accuracy_level,
        progress=progress,
    )
    assets.write(checkpoint, choice.decoder, folder, choice.vision)
    return exported

"""The first half of a conversion to ONNX: engine and scheme, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...core.errors import UsageError
from ...core.staging import check_output
from ...quantize.assign import check_groups
from ...quantize.scheme import Scheme, resolve, resolve_vision
from ...quantize.tensor_precision import require_found
from .. import families
from ..checkpoint import Checkpoint
from ..onnx import assets, export, models, tokenizer, trace
from ..onnx import sizes as sizes_of
from ..onnx.choose import Choice, choose
from ..onnx.names import LANGUAGE, TEXT_EMBEDDINGS
from ..openvino import stream
from ..openvino.tokenizer import require_files
from ..program.description import TABLE
from ..program.vision import Vision
from . import memory, smoke
from .conflicts import Collector
from .cost import cost, require
from .onnx_plan import OnnxJob, OnnxPlan
from .source import OpenedSource

PACKAGE = "onnx"


@dataclass(frozen=True)
class Prepared:
    """A plan, and what carrying it out needs."""

    plan: OnnxPlan
    choice: Choice


def require_package() -> None:
    """Raise UsageError if onnx is not installed."""
    import importlib.util

    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(
            "ONNX models are written with the package onnx, which is not installed.", "pip install 'edgeconv[onnx]'"
        )


def prepare(job: OnnxJob, opened: OpenedSource, collector: Collector, runner: smoke.Runner) -> Prepared:
    """Read configs and headers.

    Raises:
        EdgeconvError: any of the family.
    """
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
    described = None if choice.encoder else choice.decoder or sizes_of.of_config(checkpoint.config)
    layers = choice.encoder.num_layers if choice.encoder else described.num_layers if described else 0
    output = job.output or Path(f"{opened.base_name}-onnx-{scheme.precision}")
    size = (
        (predicted or 0)
        + assets.size(checkpoint, described, vision, generates=choice.encoder is None)
        + _graph(choice, layers)
    )
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
        assumed=[*(choice.described.assumed if choice.described else ()), *(vision.assumed if vision else ())],
        notes=[*checkpoint.notes, *choice.notes, *said, *notes],
        vision_scheme=vision_scheme,
        image_tokens=vision.image_tokens if vision else None,
        cost=told,
        smoke_test=smoke.planned(job.smoke_test, runner, size),
        conflicts=collector.conflicts(),
    )
    return Prepared(planned, choice)


def _models(checkpoint: Checkpoint, choice: Choice, scheme: Scheme, vision_scheme: Scheme | None) -> list[models.Model]:
    if choice.described:
        return models.cut(choice.described, scheme, choice.vision, vision_scheme)
    return [trace.forecast(checkpoint, scheme)]


def _graph(choice: Choice, layers: int) -> int:
    """Return the bytes of a graph that the forecast leaves out: a trace's is known once it is made."""
    return 0 if choice.described else trace.GRAPH + layers * trace.GRAPH_LAYER


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
    described, decoder, vision, said = choice.described, choice.decoder, choice.vision, []
    if described is None:
        trace.require_package()
        weights = trace.forecast(checkpoint, scheme).weights
    else:
        stream.check(checkpoint, described, vision)
        if vision and decoder:
            said = vision.check_files(checkpoint.folder)
            if decoder.tied:
                said.append(f"the head is the table of embeddings, which {LANGUAGE} and {TEXT_EMBEDDINGS} both hold")
        weights = stream.weights(described, scheme, vision, woven=True)
    names = [*(weight.name for weight in weights), *([TABLE] if vision else [])]
    collector.check(lambda: require_found(names, scheme.tensor_precision))
    groups = collector.check(lambda: check_groups(weights, scheme))
    return said + (groups or [])


def _refuse(reason: str, hint: str) -> None:
    raise UsageError(reason, hint)

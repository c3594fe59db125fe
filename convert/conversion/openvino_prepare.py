"""The first half of an OpenVINO conversion: engine and schemes, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...core.errors import UsageError
from ...core.staging import check_output
from ...quantize.device import complete
from ...quantize.scheme import Request, Scheme, resolve, resolve_vision
from .. import tokenizer_copy
from ..checkpoint import Checkpoint
from ..families import int4_default
from ..families.glm_edge_v import GlmEdgeVision
from ..openvino.choose import Choice, choose
from ..openvino.data_aware import Calibration
from ..program.vision import Vision
from . import calibrator, smoke
from .conflicts import Collector
from .cost import cost, require
from .openvino_forecast import forecast
from .openvino_plan import Job, Plan
from .source import OpenedSource

COMPRESSORS = ("auto", "nncf")
LAYOUTS = ("optimum", "genai")


@dataclass(frozen=True)
class Prepared:
    """A plan, and what carrying it out needs."""

    plan: Plan
    choice: Choice
    calibration: Calibration | None


def _samples(job: Job, scheme: Scheme, checkpoint: Checkpoint, choice: Choice) -> Calibration | None:
    text = job.request.calibration
    if text is None or scheme.calibration is None or scheme.num_samples is None:
        return None
    return calibrator.require(job.calibrator).samples(text, scheme, checkpoint, choice)


def prepare(job: Job, opened: OpenedSource, collector: Collector, runner: smoke.Runner) -> Prepared:
    """Read configs and headers.

    Raises:
        EdgeconvError: any of the family; options that contradict each other are all in one error.
    """
    from ..openvino.tokenizer import require_files

    checkpoint = opened.checkpoint
    require_files(checkpoint.folder)
    choice, scheme, vision_scheme = _chosen(job, checkpoint, collector)
    notes = _notes(job, checkpoint, choice, scheme, collector) + tokenizer_copy.notes(checkpoint.folder)
    text = collector.check(lambda: _samples(job, scheme, checkpoint, choice))
    collector.stop()
    vision = choice.vision
    predicted = forecast(checkpoint, choice, scheme, vision_scheme, compressor=job.compressor)
    output = job.output or Path(f"{opened.base_name}-openvino-{scheme.precision}")
    memory = max(predicted.memory_bytes, calibrator.memory_bytes(text, scheme, checkpoint))
    told = cost(opened.pending, output, predicted.output_bytes, memory)
    collector.check(lambda: check_output(output, force=job.force))
    collector.check(lambda: require(told.disks))
    exact = scheme.exact and job.compressor == "auto"
    planned = Plan(
        source=opened.name,
        commit=opened.commit,
        model_type=_family(checkpoint, choice),
        parameters=checkpoint.parameters,
        engine=choice.engine,
        engine_reason=choice.reason,
        compressor="none" if not scheme.compresses else "edgeconv" if exact else "nncf",
        rope=job.rope,
        scheme=scheme,
        input_bytes=checkpoint.size,
        output_bytes=predicted.output_bytes,
        output=output,
        assumed=[*(choice.described.assumed if choice.described else ()), *(vision.assumed if vision else ())],
        notes=[*checkpoint.notes, *_consented(job, opened), *choice.notes, *notes],
        vision_scheme=vision_scheme,
        image_tokens=vision.image_tokens if vision else None,
        calibration=calibrator.facts(text),
        cost=told,
        smoke_test=smoke.planned(job.smoke_test, runner, predicted.output_bytes),
        conflicts=collector.conflicts(),
    )
    return Prepared(planned, choice, text)


def _chosen(job: Job, checkpoint: Checkpoint, collector: Collector) -> tuple[Choice, Scheme, Scheme | None]:
    """Resolve engine and schemes; what the options refuse goes to the collector, and ends here if nothing can stand for it."""
    collector.check(lambda: _among("compressor", job.compressor, COMPRESSORS))
    collector.check(lambda: _among("layout", job.layout, LAYOUTS))
    if job.request.tensor_precision and job.compressor == "nncf":
        reason = "--tensor-precision cannot be used with --compressor nncf: NNCF has one mode for all weights."
        collector.check(lambda: _refuse(reason, "Leave one of them out."))
    choice = collector.check(lambda: _choose(job, checkpoint)) or choose(
        checkpoint.config, names=checkpoint.names, sentence=checkpoint.sentence
    )
    vision = choice.vision
    if job.layout == "genai" and not (vision and presents(vision)):
        reason = "--layout genai is for models that openvino_genai takes for another: GLM-Edge-V and InternVL."
        collector.check(
            lambda: _refuse(reason, "Leave it out; it runs the default layout of the others that it knows.")
        )
    default, family = int4_default(checkpoint.config, vision), _family(checkpoint, choice)
    request = collector.check(lambda: complete(job.request, checkpoint.parameters)) or replace(job.request, target=None)
    scheme = collector.check(lambda: resolve(request, default, family))
    scheme = scheme if choice.encoder else _with_cache(scheme, checkpoint)
    beside = scheme or resolve(Request("int8"))  # for the checks that follow
    vision_scheme = collector.check(lambda: _vision_scheme(job, choice, beside))
    if scheme is None:
        collector.stop()
    return choice, beside, vision_scheme


def _choose(job: Job, checkpoint: Checkpoint) -> Choice:
    return choose(checkpoint.config, job.engine, job.rope, names=checkpoint.names, sentence=checkpoint.sentence)


def _with_cache(scheme: Scheme | None, checkpoint: Checkpoint) -> Scheme | None:
    """Ask for a float cache where keys have a bias and the user has said nothing."""
    from ..openvino.key_bias import keys_have_bias

    if scheme is None or not scheme.compresses or scheme.kv_cache or not keys_have_bias(checkpoint.names):
        return scheme
    return replace(scheme, kv_cache="f16")


def _notes(job: Job, checkpoint: Checkpoint, choice: Choice, scheme: Scheme, collector: Collector) -> list[str]:
    """Check the tensors, and say what the scheme does to their rows."""
    from ...quantize.assign import check_groups
    from ...quantize.tensor_precision import require_found

    vision, notes, apart = choice.vision, [], []
    if choice.described:
        from ..openvino import stream
        from ..program.description import TABLE

        apart = [TABLE] if vision else []
        stream.check(checkpoint, choice.described, vision)
        if vision and choice.decoder:
            notes = stream.notes(choice.decoder, vision) + vision.check_files(checkpoint.folder)
            notes += _check_layout(job, checkpoint.folder, vision)
        weights = stream.weights(choice.described, scheme, vision)
    else:
        from ..openvino import trace

        weights = trace.weights(checkpoint)
    collector.check(lambda: require_found([*(w.name for w in weights), *apart], scheme.tensor_precision))
    return (collector.check(lambda: check_groups(weights, scheme)) or []) + notes


def _consented(job: Job, opened: OpenedSource) -> list[str]:
    """Say what code the user has agreed to run."""
    from ..remote_code import consented

    return consented(opened.checkpoint.folder, opened.name, opened.commit) if job.trust_remote_code else []


def _family(checkpoint: Checkpoint, choice: Choice) -> str:
    return choice.vision.family if choice.vision else checkpoint.model_type


def _among(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        _refuse(f"Unknown {what} {value!r}.", f"One of: {', '.join(known)}.")


def _refuse(reason: str, hint: str) -> None:
    raise UsageError(reason, hint)


def _vision_scheme(job: Job, choice: Choice, scheme: Scheme) -> Scheme | None:
    if choice.vision:
        return resolve_vision(job.vision_precision, scheme, choice.vision.family)
    if job.vision_precision:
        raise UsageError("--vision-precision has no meaning for a text model.", "Leave it out.")
    return None


def _check_layout(job: Job, folder: Path, vision: Vision) -> list[str]:
    if job.layout != "genai":
        return []
    if isinstance(vision, GlmEdgeVision):
        from ..openvino import genai_layout

        return genai_layout.check(folder, vision)
    return vision.check_genai(folder) or []


def presents(vision: Vision) -> bool:
    """Tell whether a family has a layout in which openvino_genai takes it for another."""
    return isinstance(vision, GlmEdgeVision) or type(vision).check_genai is not Vision.check_genai

"""A checkpoint becomes a folder with OpenVINO IRs, tokenizer and configs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..convert.families import int4_default
from ..convert.families.glm_edge_v import Vision
from ..convert.openvino.choose import Choice, choose
from ..core.errors import UsageError
from ..core.manifest import LOG_NAME
from ..core.progress import Progress, Silent
from ..core.staging import check_output, check_space, staged
from ..quantize.scheme import Request, Scheme, resolve, resolve_vision
from . import source
from .artefact import Artefact, size, write_log
from .openvino_write import convert
from .source import Opened

COMPRESSORS = ("auto", "nncf")
LAYOUTS = ("optimum", "genai")


@dataclass(frozen=True)
class Job:
    """What a user asks for."""

    model: str
    request: Request
    revision: str | None = None
    output: Path | None = None
    force: bool = False
    trust_remote_code: bool = False
    engine: str = "auto"
    compressor: str = "auto"
    rope: str = "source"
    vision_precision: str | None = None
    layout: str = "optimum"
    local_files_only: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run will do, known before a weight is read.

    `output_bytes` predicts the weights' files from shapes; `input_bytes` counts the shards. `scheme` is the language half's,
    `vision_scheme` that of the half that sees, if there is one, and `image_tokens` the rows that it makes of a picture.
    """

    source: str
    commit: str | None
    model_type: str
    parameters: int
    engine: str
    engine_reason: str
    compressor: str
    rope: str
    scheme: Scheme
    input_bytes: int
    output_bytes: int
    output: Path
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    vision_scheme: Scheme | None = None
    image_tokens: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        vision = self.vision_scheme.as_dict() if self.vision_scheme else None
        return {**self.__dict__, "scheme": self.scheme.as_dict(), "vision_scheme": vision, "output": str(self.output)}

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""
        rows = [
            ("source", self.source + (f" @ {self.commit[:12]}" if self.commit else "")),
            ("model", f"{self.model_type}, {self.parameters / 1e6:,.1f} M parameters, {size(self.input_bytes)}"),
            ("scheme", f"{self.scheme.describe()} (chosen by {self.scheme.chosen_by})"),
            *self._vision_rows(),
            ("engine", f"{self.engine}: {self.engine_reason}"),
            ("output", f"{self.output}, about {size(self.output_bytes)}"),
        ]
        rows += [("assumed", sentence) for sentence in self.assumed]
        return rows + [("note", sentence) for sentence in self.notes]

    def _vision_rows(self) -> list[tuple[str, str]]:
        scheme = self.vision_scheme
        if scheme is None:
            return []
        tokens = f"; {self.image_tokens} tokens a picture" if self.image_tokens else ""
        return [("vision", f"{scheme.describe()} (chosen by {scheme.chosen_by}){tokens}")]


def plan(job: Job, progress: Progress | None = None) -> Plan:
    """Read configs and headers only, and refuse whatever would fail later.

    Raises:
        EdgeconvError: any of the family; nothing was written.
    """
    opened = source.headers(
        job.model,
        job.revision,
        progress or Silent(),
        trust_remote_code=job.trust_remote_code,
        local_files_only=job.local_files_only,
    )
    return _plan(job, opened)[0]


def run(job: Job, progress: Progress | None = None) -> Artefact:
    """Convert.

    Raises:
        EdgeconvError: any of the family; nothing is left under the output's name, or what was there stays as it was.
    """
    progress = progress or Silent()
    started = time.time()
    if job.output is not None:
        check_output(job.output, force=job.force)
    opened = source.whole(
        job.model,
        job.revision,
        progress,
        trust_remote_code=job.trust_remote_code,
        local_files_only=job.local_files_only,
    )
    planned, choice = _plan(job, opened)
    check_space(planned.output, planned.output_bytes + (64 << 20))
    for label, value in planned.rows():
        progress.note(f"{label}: {value}")
    with staged(planned.output) as folder:
        manifest = convert(job, planned=planned, choice=choice, opened=opened, folder=folder, progress=progress)
        manifest.write(folder)
        seconds = time.time() - started
        write_log(folder / LOG_NAME, job.model, opened.folder, started, seconds)
    return Artefact(planned.output, manifest, planned, seconds)


def _plan(job: Job, opened: Opened) -> tuple[Plan, Choice]:
    from ..convert.openvino.tokenizer import require_files
    from ..quantize.assign import check_groups

    if job.compressor not in COMPRESSORS:
        raise UsageError(f"Unknown compressor {job.compressor!r}.", f"One of: {', '.join(COMPRESSORS)}.")
    if job.layout not in LAYOUTS:
        raise UsageError(f"Unknown layout {job.layout!r}.", f"One of: {', '.join(LAYOUTS)}.")
    checkpoint = opened.checkpoint
    require_files(checkpoint.folder)
    choice = choose(checkpoint.config, job.engine, job.rope, names=checkpoint.names)
    vision = choice.vision
    if vision is None and job.layout != "optimum":
        raise UsageError(
            "--layout is for GLM-Edge-V; openvino_genai runs the default layout of others.", "Leave it out."
        )
    family = vision.family if vision else checkpoint.model_type
    scheme = resolve(job.request, int4_default(checkpoint.config, vision), family)
    vision_scheme = _vision_scheme(job, choice, scheme)
    notes: list[str] = []
    if choice.decoder:
        from ..convert.openvino import stream, vision_files

        stream.check(checkpoint, choice.decoder, vision)
        if vision:
            notes = stream.notes(choice.decoder, vision) + vision_files.check(checkpoint.folder, vision)
            notes += _check_layout(job, checkpoint.folder, vision)
        weights = stream.weights(choice.decoder, scheme, vision)
        predicted = stream.predicted_size(checkpoint, choice.decoder, scheme, vision, vision_scheme)
    elif choice.several and vision_scheme:
        from ..convert.openvino import trace_vision

        weights = trace_vision.language_weights(checkpoint)
        predicted = trace_vision.predicted_size(checkpoint, scheme, vision_scheme)
    else:
        from ..convert.openvino import trace

        weights = trace.weights(checkpoint)
        predicted = int(sum(w.size for w in weights) * scheme.bits / 8)
    output = job.output or Path(f"{opened.base_name}-openvino-{scheme.precision}")
    check_output(output, force=job.force)
    exact = scheme.exact and job.compressor == "auto"
    planned = Plan(
        source=opened.name,
        commit=opened.commit,
        model_type=family,
        parameters=checkpoint.parameters,
        engine=choice.engine,
        engine_reason=choice.reason,
        compressor="none" if not scheme.compresses else "edgeconv" if exact else "nncf",
        rope=job.rope,
        scheme=scheme,
        input_bytes=checkpoint.size,
        output_bytes=predicted,
        output=output,
        assumed=[*(choice.decoder.assumed if choice.decoder else ()), *(vision.assumed if vision else ())],
        notes=[*checkpoint.notes, *check_groups(weights, scheme), *notes],
        vision_scheme=vision_scheme,
        image_tokens=vision.image_tokens if vision else None,
    )
    return planned, choice


def _vision_scheme(job: Job, choice: Choice, scheme: Scheme) -> Scheme | None:
    if choice.vision:
        return resolve_vision(job.vision_precision, scheme, choice.vision.family)
    if choice.several:
        from ..convert.openvino import trace_vision

        return trace_vision.resolve_others(job.vision_precision, scheme, "optimum-intel")
    if job.vision_precision:
        raise UsageError("--vision-precision has no meaning for a text model.", "Leave it out.")
    return None


def _check_layout(job: Job, folder: Path, vision: Vision) -> list[str]:
    from ..convert.openvino import genai_layout

    return genai_layout.check(folder, vision) if job.layout == "genai" else []

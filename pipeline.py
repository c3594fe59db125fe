"""The one-way story: a job becomes a plan, a plan becomes an artefact.

source → verified checkpoint → engine and scheme → staged files → manifest → one rename.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .convert.checkpoint import Checkpoint, open_checkpoint, open_headers
from .convert.families import int4_default
from .convert.families.glm_edge_v import Vision
from .convert.openvino.choose import Choice, choose
from .core.errors import UsageError
from .core.inputs import InputDigests
from .core.manifest import FileDigest, Manifest, Source, VisionFacts
from .core.progress import Progress, Silent
from .core.staging import check_output, check_space, staged
from .quantize.scheme import Request, Scheme, resolve, resolve_vision

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
            ("model", f"{self.model_type}, {self.parameters / 1e6:,.1f} M parameters, {_size(self.input_bytes)}"),
            ("scheme", f"{self.scheme.describe()} (chosen by {self.scheme.chosen_by})"),
            *self._vision_rows(),
            ("engine", f"{self.engine}: {self.engine_reason}"),
            ("output", f"{self.output}, about {_size(self.output_bytes)}"),
        ]
        rows += [("assumed", sentence) for sentence in self.assumed]
        return rows + [("note", sentence) for sentence in self.notes]

    def _vision_rows(self) -> list[tuple[str, str]]:
        scheme = self.vision_scheme
        if scheme is None:
            return []
        tokens = f"; {self.image_tokens} tokens a picture" if self.image_tokens else ""
        return [("vision", f"{scheme.describe()} (chosen by {scheme.chosen_by}){tokens}")]


@dataclass(frozen=True)
class Artefact:
    """A finished conversion: where it is, its manifest, the plan that led to it, and the seconds it took."""

    path: Path
    manifest: Manifest
    plan: Plan
    seconds: float


def plan(job: Job, progress: Progress | None = None) -> Plan:
    """Read configs and headers only, and refuse whatever would fail later.

    Raises:
        EdgeconvError: any of the family; nothing was written.
    """
    from .hub.fetch import fetch_metadata
    from .hub.source import parse

    progress = progress or Silent()
    metadata = fetch_metadata(
        parse(job.model, job.revision),
        progress=progress,
        allow_remote_code=job.trust_remote_code,
        local_files_only=job.local_files_only,
    )
    fetched = metadata.fetched
    if fetched.repo_id is None:
        checkpoint = open_checkpoint(fetched.path, trust_remote_code=job.trust_remote_code)
    else:
        sizes = {file.path: file.size for file in metadata.listing.files}
        checkpoint = open_headers(fetched.path, metadata.headers, sizes, trust_remote_code=job.trust_remote_code)
    return _plan(job, checkpoint, fetched.repo_id, fetched.commit)[0]


def run(job: Job, progress: Progress | None = None) -> Artefact:
    """Convert.

    Raises:
        EdgeconvError: any of the family; nothing is left under the output's name, or what was there stays as it was.
    """
    from .hub.fetch import fetch
    from .hub.source import parse

    progress = progress or Silent()
    started = time.time()
    if job.output is not None:
        check_output(job.output, force=job.force)
    fetched = fetch(
        parse(job.model, job.revision),
        progress=progress,
        allow_remote_code=job.trust_remote_code,
        local_files_only=job.local_files_only,
    )
    checkpoint = open_checkpoint(fetched.path, trust_remote_code=job.trust_remote_code)
    planned, choice = _plan(job, checkpoint, fetched.repo_id, fetched.commit)
    check_space(planned.output, planned.output_bytes + (64 << 20))
    for label, value in planned.rows():
        progress.note(f"{label}: {value}")
    known = {file.path: file.sha256 for file in fetched.files if file.sha256}
    with staged(planned.output) as folder:
        manifest = _convert(
            job,
            planned=planned,
            choice=choice,
            checkpoint=checkpoint,
            known=known,
            folder=folder,
            progress=progress,
        )
        manifest.write(folder)
        seconds = time.time() - started
        _write_log(folder, job, fetched.path, started, seconds)
    return Artefact(planned.output, manifest, planned, seconds)


def _plan(job: Job, checkpoint: Checkpoint, repo_id: str | None, commit: str | None) -> tuple[Plan, Choice]:
    from .convert.openvino.tokenizer import require_files
    from .quantize.assign import check_groups

    if job.compressor not in COMPRESSORS:
        raise UsageError(f"Unknown compressor {job.compressor!r}.", f"One of: {', '.join(COMPRESSORS)}.")
    if job.layout not in LAYOUTS:
        raise UsageError(f"Unknown layout {job.layout!r}.", f"One of: {', '.join(LAYOUTS)}.")
    require_files(checkpoint.folder)
    choice = choose(checkpoint.config, job.engine, job.rope, names=checkpoint.names)
    vision = choice.vision
    if vision is None and job.layout != "optimum":
        raise UsageError("--layout has no meaning for a text model: openvino_genai runs it as it is.", "Leave it out.")
    family = vision.family if vision else checkpoint.model_type
    scheme = resolve(job.request, int4_default(checkpoint.config, vision), family)
    vision_scheme = _vision_scheme(job, choice, scheme)
    notes: list[str] = []
    if choice.decoder:
        from .convert.openvino import stream, vision_files

        stream.check(checkpoint, choice.decoder, vision)
        if vision:
            notes = stream.notes(choice.decoder, vision) + vision_files.check(checkpoint.folder, vision)
            notes += _check_layout(job, checkpoint.folder, vision)
        weights = stream.weights(choice.decoder, scheme, vision)
        size = stream.predicted_size(checkpoint, choice.decoder, scheme, vision, vision_scheme)
    elif choice.several and vision_scheme:
        from .convert.openvino import trace_vision

        weights = trace_vision.language_weights(checkpoint)
        size = trace_vision.predicted_size(checkpoint, scheme, vision_scheme)
    else:
        from .convert.openvino import trace

        weights = trace.weights(checkpoint)
        size = int(sum(w.size for w in weights) * scheme.bits / 8)
    name = repo_id or checkpoint.folder.resolve().name
    output = job.output or Path(f"{name.rsplit('/', 1)[-1]}-openvino-{scheme.precision}")
    check_output(output, force=job.force)
    exact = scheme.exact and job.compressor == "auto"
    planned = Plan(
        source=name,
        commit=commit,
        model_type=family,
        parameters=checkpoint.parameters,
        engine=choice.engine,
        engine_reason=choice.reason,
        compressor="none" if not scheme.compresses else "edgeconv" if exact else "nncf",
        rope=job.rope,
        scheme=scheme,
        input_bytes=checkpoint.size,
        output_bytes=size,
        output=output,
        assumed=[*(choice.decoder.assumed if choice.decoder else ()), *(vision.assumed if vision else ())],
        notes=check_groups(weights, scheme) + notes,
        vision_scheme=vision_scheme,
        image_tokens=vision.image_tokens if vision else None,
    )
    return planned, choice


def _vision_scheme(job: Job, choice: Choice, scheme: Scheme) -> Scheme | None:
    if choice.vision:
        return resolve_vision(job.vision_precision, scheme, choice.vision.family)
    if choice.several:
        from .convert.openvino import trace_vision

        return trace_vision.resolve_others(job.vision_precision, scheme, "optimum-intel")
    if job.vision_precision:
        raise UsageError("--vision-precision has no meaning for a text model.", "Leave it out.")
    return None


def _check_layout(job: Job, folder: Path, vision: Vision) -> list[str]:
    from .convert.openvino import genai_layout

    return genai_layout.check(folder, vision) if job.layout == "genai" else []


def _tokenizer_folder(job: Job, folder: Path) -> AbstractContextManager[Path]:
    from .convert.openvino import genai_layout

    return genai_layout.tokenizer_folder(folder) if job.layout == "genai" else nullcontext(folder)


def _convert(
    job: Job,
    *,
    planned: Plan,
    choice: Choice,
    checkpoint: Checkpoint,
    known: dict[str, str],
    folder: Path,
    progress: Progress,
) -> Manifest:
    from .convert.openvino import assets
    from .convert.openvino.tokenizer import TokenizerExport

    names = [p.name for p in assets.sources(checkpoint.folder)] + sorted(checkpoint.shards)
    digests = InputDigests(checkpoint.folder, names, known, progress)
    with (
        _tokenizer_folder(job, checkpoint.folder) as source,
        TokenizerExport(source, folder, trust_remote_code=job.trust_remote_code) as tokenizer,
    ):
        if choice.decoder:
            from .convert.openvino import stream

            exported = stream.export(
                checkpoint, choice.decoder, planned.scheme, folder,
                vision=choice.vision, vision_scheme=planned.vision_scheme,
                rope=job.rope, compressor=job.compressor, progress=progress,
            )  # fmt: skip
        elif choice.several and planned.vision_scheme:
            from .convert.openvino import trace_vision

            exported = trace_vision.export(
                checkpoint, planned.scheme, planned.vision_scheme, folder,
                compressor=job.compressor, progress=progress,
            )  # fmt: skip
        else:
            from .convert.openvino import trace

            exported = trace.export(
                checkpoint, planned.scheme, folder,
                compressor=job.compressor, trust_remote_code=job.trust_remote_code, progress=progress,
            )  # fmt: skip
        assets.write(
            checkpoint, planned.scheme, folder,
            vision=choice.vision, vision_scheme=exported.vision_scheme, added=exported.config,
        )  # fmt: skip
        if choice.vision and job.layout == "genai":
            from .convert.openvino import genai_layout

            for name in genai_layout.write(folder, choice.vision, source):
                exported.digests.pop(name, None)
        tokenizer.wait()
    stored = sum(entry.bytes for entry in exported.tensors)
    return Manifest(
        target="openvino",
        source=Source(
            repo_id=planned.source if planned.commit else None,
            commit=planned.commit,
            model_type=checkpoint.model_type,
            architectures=list(checkpoint.config.get("architectures") or []),
            parameters=planned.parameters,
            files=digests.result(),
        ),
        engine=planned.engine,
        compressor=exported.compressor if planned.scheme.compresses or planned.vision_scheme else "none",
        scheme=planned.scheme.as_dict(),
        vision=_vision_facts(choice, exported.vision_scheme),
        row_order="rotate_half" if job.rope == "fused" else "source",
        assumed=planned.assumed,
        notes=planned.notes + exported.notes,
        bits_per_weight=round(stored * 8 / max(1, sum(math.prod(e.shape) for e in exported.tensors)), 4),
        tensors=exported.tensors,
        versions=_versions(planned.engine),
        outputs=_outputs(folder, exported.digests),
    )


def _vision_facts(choice: Choice, scheme: Scheme | None) -> VisionFacts | None:
    if choice.vision is None or scheme is None:
        return None
    return VisionFacts(
        scheme=scheme.as_dict(),
        image_size=choice.vision.image_size,
        image_tokens=choice.vision.image_tokens,
        placeholder_id=choice.vision.boi_token_id,
    )


def _outputs(folder: Path, known: dict[str, FileDigest]) -> dict[str, FileDigest]:
    from .core.digest import sha256_file

    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".pid")
    return {
        name: known.get(name) or FileDigest(size=(folder / name).stat().st_size, sha256=sha256_file(folder / name))
        for name in names
    }


def _versions(engine: str) -> dict[str, str]:
    """Versions of what shaped the bytes."""
    from importlib.metadata import version

    names = ["edgeconv", "openvino", "openvino-tokenizers", "nncf", "transformers", "tokenizers"]
    if engine == "trace":
        names += ["optimum-intel", "torch"]
    return {name: version(name) for name in names}


def _write_log(folder: Path, job: Job, source: Path, started: float, seconds: float) -> None:
    """What differs between two runs stands here, beside the manifest and outside its digests."""
    import json
    import platform

    from .core.manifest import LOG_NAME

    log = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(seconds, 3),
        "model": job.model,
        "source": str(source.absolute()),
        "machine": platform.platform(),
        "python": platform.python_version(),
    }
    (folder / LOG_NAME).write_text(json.dumps(log, indent=1) + "\n", "utf-8")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"

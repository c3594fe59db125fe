"""The second half of an OpenVINO conversion: what was planned is written into a staging folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.inputs import InputDigests
from ...core.json_file import read_json
from ...core.manifest import Manifest
from ...core.progress import Progress
from .. import tokenizer_copy
from ..families.glm_edge_v import GlmEdgeVision
from . import encoder_facts, vision_facts
from .artifact import bits_per_weight, outputs, source_of, versions
from .calibrator import require
from .small_files import inputs
from .source import OpenedSource

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..openvino.engine import Exported
    from ..program.vision import Vision
    from .openvino_plan import Job
    from .openvino_prepare import Prepared

VERSIONS = ("edgeconv", "openvino", "openvino-tokenizers", "nncf", "transformers", "tokenizers")
TRACE_VERSIONS = ("optimum-intel", "torch")


def convert(ready: Prepared, job: Job, opened: OpenedSource, folder: Path, progress: Progress) -> Manifest:
    """Write all files of a plan into the staging folder and return the manifest that describes them."""
    from ..openvino import assets
    from ..openvino.tokenizer import TokenizerExport

    planned, choice, checkpoint = ready.plan, ready.choice, opened.checkpoint
    digests = InputDigests(checkpoint.origin, inputs(checkpoint), opened.known, progress, checkpoint.unchanged)
    if ready.calibration:
        measured = require(job.calibrator).of_weights(ready.calibration, checkpoint, choice, digests.result(), progress)
        ready = replace(ready, calibration=measured)
    with (
        _tokenizer_folder(job, choice.vision, checkpoint.folder) as tokenizer_source,
        TokenizerExport(
            tokenizer_source, folder, trust_remote_code=job.trust_remote_code, encodes=choice.encoder is not None
        ) as tokenizer,
    ):
        exported = _export(ready, job, checkpoint, folder, progress)
        assets.write(
            checkpoint, planned.scheme, folder,
            vision=choice.vision, vision_scheme=exported.vision_scheme, added=exported.config,
            generates=choice.encoder is None,
        )  # fmt: skip
        if choice.vision and job.layout == "genai":
            _present(choice.vision, checkpoint.folder, folder, tokenizer_source, exported)
        rebuilt = tokenizer.wait()
    kept = tokenizer_copy.keep_pipeline(folder) if rebuilt else []
    return Manifest(
        target="openvino",
        source=source_of(checkpoint, opened.repo_id, opened.commit, digests.result()),
        engine=planned.engine,
        compressor=exported.compressor if planned.scheme.compresses or planned.vision_scheme else "none",
        scheme=planned.scheme.as_dict(),
        vision=vision_facts.facts(choice.vision, exported.vision_scheme),
        encoder=encoder_facts.facts(choice.encoder),
        calibration=planned.calibration,
        row_order="rotate_half" if job.rope == "fused" else "source",
        assumed=planned.assumed,
        notes=planned.notes + exported.notes + kept,
        bits_per_weight=bits_per_weight(exported.tensors),
        tensors=exported.tensors,
        versions=versions(VERSIONS + (TRACE_VERSIONS if planned.engine == "trace" else ())),
        outputs=outputs(folder, exported.digests),
    )


def _export(ready: Prepared, job: Job, checkpoint: Checkpoint, folder: Path, progress: Progress) -> Exported:
    """Write the graphs and their weights by the engine of the plan."""
    planned, choice = ready.plan, ready.choice
    if choice.described:
        from ..openvino import stream

        return stream.export(
            checkpoint, choice.described, planned.scheme, folder,
            vision=choice.vision, vision_scheme=planned.vision_scheme,
            rope=job.rope, compressor=job.compressor, calibration=ready.calibration, progress=progress,
        )  # fmt: skip
    from ..openvino import trace

    return trace.export(
        checkpoint, planned.scheme, folder,
        compressor=job.compressor, calibration=ready.calibration, trust_remote_code=job.trust_remote_code,
        progress=progress,
    )  # fmt: skip


def _present(vision: Vision, source: Path, folder: Path, tokenizer: Path, exported: Exported) -> None:
    """Turn a staged artifact into the one that openvino_genai takes for another model's."""
    if isinstance(vision, GlmEdgeVision):
        from ..openvino import genai_layout

        for name in genai_layout.write(folder, vision, tokenizer):
            exported.digests.pop(name, None)
        return
    for name, content in vision.genai_files(source, read_json(folder / "config.json")).items():
        (folder / name).write_text(tokenizer_copy.dump(content), "utf-8")


def _tokenizer_folder(job: Job, vision: Vision | None, folder: Path) -> AbstractContextManager[Path]:
    from ..openvino import genai_layout

    renamed = job.layout == "genai" and isinstance(vision, GlmEdgeVision)
    return genai_layout.tokenizer_folder(folder) if renamed else nullcontext(folder)

"""The second half of a conversion to ONNX: what was planned is written into a staging folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core import tokenizer_rebuilt
from ...core.inputs import InputDigests
from ...core.manifest import Manifest
from ...core.progress import Progress
from .. import tokenizer_copy
from ..checkpoint import Checkpoint
from ..onnx import assets, export, trace
from ..openvino.engine import Exported
from . import encoder_facts, vision_facts
from .artifact import bits_per_weight, outputs, source_of, versions
from .small_files import inputs
from .source import OpenedSource

if TYPE_CHECKING:
    from .onnx_prepare import Prepared

VERSIONS = ("edgeconv", "onnx", "tokenizers")
TRACE_VERSIONS = ("onnxscript", "torch", "transformers")


def convert(ready: Prepared, opened: OpenedSource, folder: Path, progress: Progress) -> Manifest:
    """Write all files of a plan into the staging folder and return the manifest that describes them."""
    checkpoint, planned = opened.checkpoint, ready.plan
    digests = InputDigests(checkpoint.origin, inputs(checkpoint), opened.known, progress, checkpoint.unchanged)
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
        vision=vision_facts.facts(vision, exported.vision_scheme),
        encoder=encoder_facts.facts(ready.choice.encoder),
        row_order="source",
        assumed=planned.assumed,
        notes=planned.notes + exported.notes + kept,
        bits_per_weight=bits_per_weight(exported.tensors),
        tensors=exported.tensors,
        versions=versions(VERSIONS + (TRACE_VERSIONS if planned.engine == "trace" else ())),
        outputs=outputs(folder, exported.digests),
    )


def _write(ready: Prepared, checkpoint: Checkpoint, folder: Path, progress: Progress) -> Exported:
    """Write the models and what lies beside them."""
    planned, choice = ready.plan, ready.choice
    if choice.described is None:
        made = trace.prepare(checkpoint, progress)
        exported = trace.write(
            checkpoint, made, planned.scheme, folder, accuracy_level=planned.accuracy_level, progress=progress
        )
        assets.write(checkpoint, trace.sizes(checkpoint, made), folder)
        return exported
    exported = export.export(
        checkpoint,
        choice.described,
        planned.scheme,
        folder,
        vision=choice.vision,
        vision_scheme=planned.vision_scheme,
        accuracy_level=planned.accuracy_level,
        progress=progress,
    )
    assets.write(checkpoint, choice.decoder, folder, choice.vision, generates=choice.encoder is None)
    return exported

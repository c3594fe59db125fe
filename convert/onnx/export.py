"""A checkpoint's config and shards to ONNX models, tensor by tensor, in a few tens of megabytes: the stream engine again.

The graph is built from the description of the family (`convert.families`); the weights go straight from the mapped shards through
the quantizer to their places in the file beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...core.errors import UsageError
from ...core.manifest import FileDigest
from ...core.progress import Progress
from ...quantize.assign import assign, ratio_defining
from ...quantize.scheme import EXACT_MODES, FLOAT_PRECISIONS, Scheme
from ..checkpoint import Checkpoint
from ..openvino import stream_float16, stream_write
from ..openvino.engine import Exported
from ..openvino.tensor_layout import TensorLayout
from ..program.decoder import Decoder
from ..program.encoder import Encoder
from ..program.vision import Vision
from . import tensor_layout as layout_of
from .models import Model, cut, lay_out, write_graph

ACCURACY_LEVELS = (0, 1, 4)
"""Of MatMulNBits: 0 leaves it to the runtime, 1 multiplies in float32, 4 in int8, with activations rounded to 8 bits."""


def require_expressible(scheme: Scheme) -> None:
    """Refuse a scheme that ONNX has no operator for.

    Raises:
        UsageError: with those that it has.
    """
    wrong = [mode for mode in (scheme.mode, scheme.backup) if mode not in (*EXACT_MODES, *FLOAT_PRECISIONS, "none")]
    if wrong:
        raise UsageError(
            f"ONNX has no operator that runs weights of {wrong[0]}.",
            f"One of: {', '.join((*FLOAT_PRECISIONS, *EXACT_MODES))}; `edgeconv openvino` has {wrong[0]}.",
        )


def export(
    checkpoint: Checkpoint,
    decoder: Decoder | Encoder,
    scheme: Scheme,
    out: Path,
    *,
    vision: Vision | None = None,
    vision_scheme: Scheme | None = None,
    accuracy_level: int = 4,
    progress: Progress,
) -> Exported:
    """Write model.onnx and model.onnx_data, or the three models of a vision-language model.

    Args:
        checkpoint: checked by `convert.openvino.stream.check`.
        decoder: its description.
        scheme: the resolved scheme, of the language model and the embeddings, checked by `require_expressible`.
        out: the staging folder.
        vision: the vision part, if there is one.
        vision_scheme: its scheme.
        accuracy_level: of MatMulNBits, one of ACCURACY_LEVELS.
        progress: reports the steps.

    Raises:
        CheckpointError: a weight is NaN or infinite, or too large for the type that it is to have.
        UsageError: no block of MatMulNBits divides a group.
    """
    said: list[str] = []
    if vision and vision_scheme:
        vision_scheme, said = stream_float16.settle(checkpoint, vision, vision_scheme, progress)
    models = cut(decoder, scheme, vision, vision_scheme)
    exported = write_models(checkpoint, models, out, accuracy_level=accuracy_level, progress=progress)
    return replace(exported, notes=said, vision_scheme=vision_scheme)


def write_models(
    checkpoint: Checkpoint, models: Sequence[Model], out: Path, *, accuracy_level: int, progress: Progress
) -> Exported:
    """Write these models, whichever engine describes them; arguments and errors as above."""
    compresses = any(model.scheme.compresses for model in models)
    exported = Exported([], "edgeconv" if compresses else "none", [], {})
    for model in models:
        tensors = _stored(checkpoint, model, progress)
        exported.digests[model.data] = _write(
            checkpoint, model, tensors, out, accuracy_level=accuracy_level, progress=progress
        )
        file = model.graph if len(models) > 1 else None
        exported.tensors.extend(stored.entry().model_copy(update={"file": file}) for stored in tensors)
    return exported


def _stored(checkpoint: Checkpoint, model: Model, progress: Progress) -> list[TensorLayout]:
    scheme, error = model.scheme, None
    if scheme.ratio < 1:
        candidates = {w.name for w in ratio_defining(model.weights, scheme)}
        plain = [s for s in model.stored(checkpoint, {}) if s.name in candidates]
        error = stream_write.int8_errors(checkpoint, plain, progress)
    return model.stored(checkpoint, assign(model.weights, scheme, error))


def _write(
    checkpoint: Checkpoint,
    model: Model,
    tensors: list[TensorLayout],
    out: Path,
    *,
    accuracy_level: int,
    progress: Progress,
) -> FileDigest:
    layout = lay_out(tensors)
    write_graph(model.proto(tensors, layout, accuracy_level), out / model.graph)
    return stream_write.write_bin(
        checkpoint, tensors, layout, out / model.data, progress, encode=layout_of.encode, tail=layout_of.tail
    )


def predicted_size(checkpoint: Checkpoint, models: Sequence[Model], accuracy_level: int = 4) -> int:
    """Return the bytes of the models' files, from shapes alone; near exact if the ratio is below 1, else exact."""
    total = 0
    for model in models:
        tensors = model.forecast(checkpoint)
        layout = lay_out(tensors)
        total += layout.size + model.proto(tensors, layout, accuracy_level).ByteSize()
    return total

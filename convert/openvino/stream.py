"""The stream engine: config.json and safetensors to IRs, tensor by tensor, in a few tens of megabytes.

For decoders whose block `convert.families` describes, and for GLM-Edge-V. Every stored constant is equal, bit for bit, to
what `nncf.compress_weights` makes of the same weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.manifest import FileDigest
from ...core.progress import Progress
from ...quantize.assign import Weight, assign, ratio_defining
from ...quantize.scheme import Scheme
from ..checkpoint import Checkpoint
from ..families import unused_tensors
from ..program.decoder import Decoder
from ..program.encoder import Encoder
from ..program.latent import KV_A, Latent
from ..program.vision import Vision
from ..tensor_accounting import check_coverage
from . import ir_file, rt_info, stream_float16, stream_ir, stream_write
from .data_aware import Calibration
from .engine import Exported
from .stream_ir import Ir
from .tensor_layout import TensorLayout


def weights(
    decoder: Decoder | Encoder, scheme: Scheme, vision: Vision | None = None, *, woven: bool | None = None
) -> list[Weight]:
    """Return the language model's weights that a scheme compresses, each constant once, in the order of the graph.

    `woven` as in `stream_ir.cut`.
    """
    return stream_ir.cut(decoder, scheme, vision, scheme, woven=woven)[0].weights


def check(checkpoint: Checkpoint, decoder: Decoder | Encoder, vision: Vision | None = None) -> None:
    """Compare the checkpoint's tensors with those that the config promises.

    Raises:
        CheckpointError: one is missing, has another shape, or would be left out silently.
    """
    if not isinstance(decoder, Decoder):
        kind = f"{decoder.family} encoder"
        check_coverage(checkpoint, decoder.tensors(), kind, tied=False, allowed=decoder.unused)
        return
    expected = decoder.tensors() | (vision.tensors() if vision else {})
    kind = vision.family if vision else f"{decoder.family} decoder"
    unused = unused_tensors(checkpoint.model_type, checkpoint.names)
    check_coverage(checkpoint, expected, kind, tied=decoder.tied, allowed=(*unused, *vision.unused) if vision else ())


def notes(decoder: Decoder, vision: Vision | None = None) -> list[str]:
    """Return sentences for the plan."""
    if vision is None or not decoder.tied:
        return []
    return [
        f"the head is the table of embeddings, which {stream_ir.LANGUAGE} and {stream_ir.TEXT_EMBEDDINGS} both hold"
    ]


def export(
    checkpoint: Checkpoint,
    decoder: Decoder | Encoder,
    scheme: Scheme,
    out: Path,
    *,
    vision: Vision | None = None,
    vision_scheme: Scheme | None = None,
    rope: str = "source",
    compressor: str = "auto",
    calibration: Calibration | None = None,
    progress: Progress,
) -> Exported:
    """Write openvino_model.xml and .bin, or the three IRs of a vision-language model.

    Args:
        checkpoint: checked by `check`.
        decoder: its description.
        scheme: the resolved scheme, of the language model and the embeddings.
        out: the staging folder.
        vision: the vision part, if there is one.
        vision_scheme: its scheme.
        rope: "source" keeps the rows of q and k; "fused" permutes them so that pairs lie half a head apart.
        compressor: "auto" (our own quantizer where it is exact) or "nncf".
        calibration: the text of a scheme that has one.
        progress: reports the steps.

    Raises:
        CheckpointError: a weight is NaN or infinite, or too large for the type that it is to have.
    """
    orders: dict[str, Any] = {}
    if rope == "fused" and isinstance(decoder, Decoder) and (orders := row_orders(decoder)):
        decoder = rotate_half(decoder)
    said: list[str] = []
    if vision and vision_scheme:
        vision_scheme, said = stream_float16.settle(checkpoint, vision, vision_scheme, progress)
    exported = Exported([], "none", said, {}, vision_scheme)
    parts = stream_ir.cut(decoder, scheme, vision, vision_scheme)
    for ir in parts:
        alone = ir if ir.generates else replace(ir, scheme=ir.scheme.data_free)  # the text flows through one of them
        one = _export(
            checkpoint, alone, out, orders=orders, compressor=compressor, calibration=calibration, progress=progress
        )
        file = ir.xml if len(parts) > 1 else None
        exported.tensors.extend(entry.model_copy(update={"file": file}) for entry in one.tensors)
        exported.digests.update(one.digests)
        if ir.scheme.compresses and exported.compressor != "nncf":
            exported = replace(exported, compressor=one.compressor)
    return exported


def _export(
    checkpoint: Checkpoint,
    ir: Ir,
    out: Path,
    *,
    orders: dict[str, Any],
    compressor: str,
    calibration: Calibration | None,
    progress: Progress,
) -> Exported:
    if ir.scheme.compresses and (compressor == "nncf" or not ir.scheme.exact):
        from .stream_nncf import export_with_nncf

        return export_with_nncf(checkpoint, ir, out, orders=orders, calibration=calibration, progress=progress)
    error = None
    if ir.scheme.ratio < 1:
        candidates = {w.name for w in ratio_defining(ir.weights, ir.scheme)}
        plain = [s for s in ir.stored(checkpoint, {}, orders) if s.name in candidates]
        error = stream_write.int8_errors(checkpoint, plain, progress)
    tensors = ir.stored(checkpoint, assign(ir.weights, ir.scheme, error), orders)
    digest = _write(checkpoint, ir, tensors, out, progress)
    return Exported([s.entry() for s in tensors], "edgeconv", [], {ir.bin: digest})


def _write(checkpoint: Checkpoint, ir: Ir, tensors: list[TensorLayout], out: Path, progress: Progress) -> FileDigest:
    stand_ins = ir_file.StandIns({stored.name: stored for stored in tensors})
    model = ir.build(stand_ins)  # the stand-ins' memory must outlive the model
    rt_info.add(model, ir.scheme, generates=ir.generates)
    ir_file.name_nodes(model)
    layout = ir_file.lay_out(model, tensors)
    ir_file.write_xml(model, layout, out / ir.xml)
    del model, stand_ins
    return stream_write.write_bin(checkpoint, tensors, layout, out / ir.bin, progress)


def row_orders(decoder: Decoder) -> dict[str, npt.NDArray[np.int64]]:
    """Return the permutation of the rows of each q and k tensor that turns neighboring pairs into halves.

    Row 2i of a head goes to i, row 2i+1 to i + dim/2. Scores do not change, because q and k are permuted alike; every scheme
    groups along columns, so the quantized rows are the same rows.
    """
    if not decoder.rope.interleaved:
        return {}
    dim = decoder.rope.dim
    halves = np.concatenate([np.arange(0, dim, 2), np.arange(1, dim, 2)])
    if decoder.latent:
        return _latent_orders(decoder.latent, decoder.num_layers, halves)
    head = np.concatenate([halves, np.arange(dim, decoder.head_dim)])
    orders = {}
    for layer in range(decoder.num_layers):
        for part, heads in (("q", decoder.num_heads), ("k", decoder.num_kv_heads)):
            order = (np.arange(heads)[:, None] * decoder.head_dim + head[None, :]).reshape(-1)
            for kind in ("weight", "bias") if decoder.qkv_bias else ("weight",):
                orders[f"model.layers.{layer}.self_attn.{part}_proj.{kind}"] = order
    return orders


def _latent_orders(latent: Latent, layers: int, halves: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    """Return `row_orders` where a part of each query, and a key of all heads, is rotated."""
    head = np.concatenate([np.arange(latent.plain), latent.plain + halves])
    queries = (np.arange(latent.heads)[:, None] * latent.width + head[None, :]).reshape(-1)
    common = np.concatenate([np.arange(latent.rank), latent.rank + halves])
    own = {f"{'q_proj' if latent.query_rank is None else 'q_b_proj'}.weight": queries}
    own |= {f"{KV_A}.{kind}": common for kind in (("weight", "bias") if latent.bias else ("weight",))}
    return {f"model.layers.{layer}.self_attn.{name}": order for layer in range(layers) for name, order in own.items()}


def rotate_half(decoder: Decoder) -> Decoder:
    """Return the description of the same decoder with permuted rows."""
    ropes = tuple(rope and replace(rope, interleaved=False) for rope in decoder.ropes)
    return replace(decoder, rope=replace(decoder.rope, interleaved=False), ropes=ropes)


def predicted_size(
    checkpoint: Checkpoint,
    decoder: Decoder | Encoder,
    scheme: Scheme,
    vision: Vision | None = None,
    vision_scheme: Scheme | None = None,
) -> int:
    """Return the bytes of all the .bin files, from shapes alone."""
    return sum(ir.predicted_size(checkpoint) for ir in stream_ir.cut(decoder, scheme, vision, vision_scheme))

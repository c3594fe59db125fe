"""The stream engine: config.json and safetensors to an IR, tensor by tensor, in a few tens of megabytes.

For decoders whose block `convert.families` describes. Every stored constant is equal, bit for bit, to what
`nncf.compress_weights` makes of the same weights.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError
from ...core.progress import Progress
from ...quantize.assign import Assignment, Weight, assign, ratio_defining
from ...quantize.scheme import Scheme, bits_of
from ..checkpoint import Checkpoint
from ..families.decoder import Decoder, Rope
from . import ir_file, rt_info, stream_graph, stream_write
from .engine import Exported
from .stored import Stored, store

UNUSED = ("*.rotary_emb.inv_freq", "*.masked_bias", "*.attention.bias")
"""Tensors of old checkpoints that hold no weights: buffers that are computed from the config."""


def weights(decoder: Decoder) -> list[Weight]:
    """Return the weights that a scheme compresses, each constant once, in the order of the graph."""
    found = []
    for name, shape in decoder.tensors().items():
        if len(shape) == 2:
            role = "embedding" if name == "model.embed_tokens.weight" else "matmul"
            last = name == "lm_head.weight" or (decoder.tied and role == "embedding")
            found.append(Weight(name, shape, role, last))  # type: ignore[arg-type]
    return found


def check(checkpoint: Checkpoint, decoder: Decoder) -> None:
    """Compare the checkpoint's tensors with those that the config promises.

    Raises:
        CheckpointError: one is missing, has another shape, or would be left out silently.
    """
    expected = decoder.tensors()
    for name, shape in expected.items():
        info = checkpoint.info(name)
        if info.shape != shape:
            raise CheckpointError(
                f"{name} is {list(info.shape)}; by config.json it should be {list(shape)}.",
                "Config and weights are not of the same model.",
            )
    unused = sorted(n for n in checkpoint.names - set(expected) if not any(fnmatch.fnmatch(n, p) for p in UNUSED))
    if decoder.tied and "lm_head.weight" in unused:
        _require_tied(checkpoint)
        unused.remove("lm_head.weight")
    if unused:
        raise CheckpointError(
            f"{len(unused)} tensors of the checkpoint have no place in a {decoder.family} decoder, "
            f"for example {unused[0]}: converting the rest would make another model.",
            "It is not a plain text model of this family (a vision model, an adapter?), or its config.json is another's.",
        )


def export(
    checkpoint: Checkpoint,
    decoder: Decoder,
    scheme: Scheme,
    out: Path,
    *,
    rope: str = "source",
    compressor: str = "auto",
    progress: Progress,
) -> Exported:
    """Write openvino_model.xml and .bin.

    Args:
        checkpoint: checked by `check`.
        decoder: its description.
        scheme: the resolved scheme.
        out: the staging folder.
        rope: "source" keeps the rows of q and k; "fused" permutes them so that pairs lie half a head apart.
        compressor: "auto" (our own quantiser where it is exact) or "nncf".
        progress: hears of the steps.

    Raises:
        CheckpointError: a weight is NaN or infinite.
    """
    orders = row_orders(decoder) if rope == "fused" else {}
    if orders:
        decoder = rotate_half(decoder)
    if scheme.compresses and (compressor == "nncf" or not scheme.exact):
        from .stream_nncf import export_with_nncf

        return export_with_nncf(checkpoint, decoder, scheme, out, orders=orders, progress=progress)
    plain = _stored(checkpoint, decoder, {}, scheme, orders)
    error = None
    if scheme.ratio < 1:
        candidates = {w.name for w in ratio_defining(weights(decoder), scheme)}
        error = stream_write.int8_errors(checkpoint, [s for s in plain if s.name in candidates], progress)
    tensors = _stored(checkpoint, decoder, assign(weights(decoder), scheme, error), scheme, orders)
    stand_ins = ir_file.StandIns({stored.name: stored for stored in tensors})
    model = stream_graph.build(decoder, stand_ins)  # the stand-ins' memory must outlive the model
    rt_info.add(model, scheme)
    ir_file.name_nodes(model)
    layout = ir_file.lay_out(model, tensors)
    ir_file.write_xml(model, layout, out / "openvino_model.xml")
    del model, stand_ins
    digest = stream_write.write_bin(checkpoint, tensors, layout, out / "openvino_model.bin", progress)
    return Exported([s.entry() for s in tensors], "edgeconv", [], {"openvino_model.bin": digest})


def row_orders(decoder: Decoder) -> dict[str, npt.NDArray[np.int64]]:
    """Return the permutation of the rows of each q and k tensor that turns neighbouring pairs into halves.

    Row 2i of a head goes to i, row 2i+1 to i + dim/2. Scores do not change, because q and k are permuted alike; every scheme
    groups along columns, so the quantised rows are the same rows.
    """
    if not decoder.rope.interleaved:
        return {}
    dim = decoder.rope.dim
    head = np.concatenate([np.arange(0, dim, 2), np.arange(1, dim, 2), np.arange(dim, decoder.head_dim)])
    orders = {}
    for layer in range(decoder.num_layers):
        for part, heads in (("q", decoder.num_heads), ("k", decoder.num_kv_heads)):
            order = (np.arange(heads)[:, None] * decoder.head_dim + head[None, :]).reshape(-1)
            for kind in ("weight", "bias") if decoder.qkv_bias else ("weight",):
                orders[f"model.layers.{layer}.self_attn.{part}_proj.{kind}"] = order
    return orders


def rotate_half(decoder: Decoder) -> Decoder:
    """Return the description of the same decoder with permuted rows."""
    from dataclasses import replace

    rope = decoder.rope
    return replace(decoder, rope=Rope(rope.theta, rope.dim, False, rope.scaling))


def _stored(
    checkpoint: Checkpoint, decoder: Decoder, table: dict[str, Assignment], scheme: Scheme, orders: dict[str, Any]
) -> list[Stored]:
    return [
        store(
            name,
            dtype=checkpoint.info(name).dtype,
            shape=shape,
            assignment=table.get(name, Assignment(None)),
            precision=scheme.mode,
            row_order=orders.get(name),
        )
        for name, shape in decoder.tensors().items()
    ]


def predicted_size(checkpoint: Checkpoint, decoder: Decoder, scheme: Scheme) -> int:
    """Return the bytes of the .bin, from shapes alone.

    Which weights a ratio below 1 compresses further is not known yet: their number is, to within one weight.
    """
    table = assign(weights(decoder), scheme, lambda weight: float(weight.size))
    if scheme.compresses and not scheme.exact:
        return sum(w.size * bits_of(table[w.name].mode or "bf16") // 8 for w in weights(decoder))
    return sum(s.size for s in _stored(checkpoint, decoder, table, scheme, {}))


def _require_tied(checkpoint: Checkpoint) -> None:
    """A tied checkpoint may store its head as well, if it is the embedding."""
    if not checkpoint.has_weights:
        return  # a plan knows only headers; the run will look
    head, table = (checkpoint.tensor(n) for n in ("lm_head.weight", "model.embed_tokens.weight"))
    if head.dtype != table.dtype or head.shape != table.shape or not np.array_equal(head, table):
        raise CheckpointError(
            "config.json says that the embeddings are tied, but lm_head.weight differs from model.embed_tokens.weight.",
            'Set "tie_word_embeddings": false in config.json if the head is meant to be used.',
        )

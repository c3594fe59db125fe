"""A SigLIP encoder and the adapter behind it: pixels to the rows of image tokens. One program for every format.

Source: `transformers/models/siglip/modeling_siglip.py` without the pooling head; from there on the model of `Vision.family`.
"""

from __future__ import annotations

from ..program.ops import Heads, Ops, T
from .glm_edge_v import ADAPTER, PROJECTION, TOWER, Vision


def encode(ops: Ops[T], v: Vision, pixels: T) -> T:
    """Write the encoder down: pixels float32 [n, channels, S, S], normalized, to [n, image_tokens, hidden]."""
    patches = ops.convolution(pixels, f"{TOWER}embeddings.patch_embedding", v.patch_size)
    hidden = ops.rows_of(patches, v.hidden_size)
    hidden = ops.add_stored(hidden, f"{TOWER}embeddings.position_embedding.weight")
    for layer in range(v.num_layers):
        hidden = _layer(ops, v, hidden, f"{TOWER}encoder.layers.{layer}.")
    hidden = ops.layer_norm(hidden, f"{TOWER}post_layernorm", v.layer_norm_eps)
    # each 2 x 2 patches become one row
    grid = ops.convolution(ops.grid_of(hidden, v.hidden_size, v.grid), f"{ADAPTER}conv", 2)
    rows = _project(ops, v, ops.rows_of(grid, v.out_size))
    return ops.between(f"{ADAPTER}boi", rows, f"{ADAPTER}eoi", v.out_size, pixels)


def _layer(ops: Ops[T], v: Vision, hidden: T, prefix: str) -> T:
    normed = ops.layer_norm(hidden, prefix + "layer_norm1", v.layer_norm_eps)
    hidden = ops.add(hidden, _attention(ops, v, normed, prefix + "self_attn."), prefix + "residual")
    normed = ops.layer_norm(hidden, prefix + "layer_norm2", v.layer_norm_eps)
    inner = ops.activate(ops.linear(normed, prefix + "mlp.fc1", True), v.activation)
    return ops.add(hidden, ops.linear(inner, prefix + "mlp.fc2", True), prefix + "output")


def _attention(ops: Ops[T], v: Vision, hidden: T, prefix: str) -> T:
    parts = (ops.linear_heads(hidden, f"{prefix}{part}_proj", v.num_heads, v.head_dim) for part in "qkv")
    heads = Heads(v.num_heads, v.num_heads, v.head_dim)
    context = ops.attention_to_all(*parts, heads=heads, name=prefix + "sdpa")
    return ops.linear(context, prefix + "out_proj", True)


def _project(ops: Ops[T], v: Vision, rows: T) -> T:
    """The adapter's gated MLP, [n, rows, out] -> the same."""
    rows = ops.linear(rows, f"{PROJECTION}linear_proj", False)
    normed = ops.layer_norm(rows, f"{PROJECTION}norm1", v.adapter_norm_eps)
    rows = ops.activate(normed, v.adapter_activation)
    gate = ops.activate(ops.linear(rows, f"{PROJECTION}gate_proj", False), "silu")
    inner = ops.multiply(gate, ops.linear(rows, f"{PROJECTION}dense_h_to_4h", False))
    return ops.linear(inner, f"{PROJECTION}dense_4h_to_h", False)

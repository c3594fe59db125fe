"""The decoder: embeddings, layers of attention and MLP, head. One program for every format, over `Ops`.

`Decoder` says which parts a family's block has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from .decoder import HEAD, TABLE, Decoder
from .ops import Ops, Rotation, T


@dataclass(frozen=True)
class _Layer(Generic[T]):
    """A layer, and what it shares with others of its kind: its rotary embedding, if it has one, and its mask."""

    index: int
    rotation: Rotation[T] | None
    mask: T

    @property
    def prefix(self) -> str:
        """What the names of its tensors begin with."""
        return f"model.layers.{self.index}."


def embed(ops: Ops[T], d: Decoder, ids: T) -> T:
    """Look ids int64 [batch, n] up: [batch, n, hidden]."""
    return ops.embed(TABLE, ids)


def decode(ops: Ops[T], d: Decoder, start: T, attention_mask: T, positions: T, *, from_embeds: bool = False) -> T:
    """Write the decoder down, and return its logits [batch, n, vocab].

    Args:
        ops: the format's layers.
        d: the decoder's description.
        start: ids int64 [batch, n], or embeddings [batch, n, hidden] if `from_embeds`.
        attention_mask: int64 [batch, past + n].
        positions: int64 [batch, n].
        from_embeds: what `start` is.
    """
    hidden = start if from_embeds else embed(ops, d, start)
    rotation = ops.rotation(positions, d.rope)
    mask = ops.mask(start, attention_mask, d.heads.groups)
    for index in range(d.num_layers):
        hidden = _layer(ops, d, hidden, _Layer(index, rotation, mask))
    hidden = _norm(ops, d, hidden, "model.norm")
    return ops.logits(hidden, TABLE if d.tied else HEAD)


def _layer(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    prefix, norms = layer.prefix, d.norms
    given = _attention(ops, d, _placed(ops, d, hidden, prefix, norms.before_attention), layer)
    hidden = ops.add(hidden, _placed(ops, d, given, prefix, norms.after_attention), prefix + "residual")
    given = _mlp(ops, d, _placed(ops, d, hidden, prefix, norms.before_mlp), prefix + "mlp.")
    return ops.add(hidden, _placed(ops, d, given, prefix, norms.after_mlp), prefix + "output")


def _placed(ops: Ops[T], d: Decoder, hidden: T, prefix: str, module: str | None) -> T:
    """Apply one of a layer's norms; none where the family has none in that place."""
    return _norm(ops, d, hidden, prefix + module) if module else hidden


def _norm(ops: Ops[T], d: Decoder, states: T, name: str) -> T:
    return ops.rms_norm(states, name, d.rms_norm_eps)


def _attention(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    prefix = layer.prefix + "self_attn."
    query, key, value = map(ops.heads_first, _projections(ops, d, hidden, prefix))
    if layer.rotation:
        query, key = (ops.rotate(states, layer.rotation, d.head_dim) for states in (query, key))
    key, value = ops.remember(key, value, layer.index, d.heads)
    context = ops.attention(query, key, value, layer.mask, heads=d.heads, scale=d.head_dim**-0.5, name=prefix + "sdpa")
    return ops.linear(context, prefix + "o_proj", d.output_bias)


def _projections(ops: Ops[T], d: Decoder, hidden: T, prefix: str) -> list[T]:
    """Query, key and value as [batch, n, heads, head_dim]."""
    if d.fused_qkv:
        parts = [*ops.split(ops.linear(hidden, prefix + "qkv_proj", d.qkv_bias), [d.q_size, d.kv_size, d.kv_size])]
    else:
        parts = [ops.linear(hidden, f"{prefix}{part}_proj", d.qkv_bias) for part in "qkv"]
    if d.qk_norm and d.qk_norm_whole:
        parts = _qk_norm(ops, d, parts, prefix)
    counts = (d.num_heads, d.num_kv_heads, d.num_kv_heads)
    shaped = [ops.heads(part, count, d.head_dim) for part, count in zip(parts, counts, strict=True)]
    return _qk_norm(ops, d, shaped, prefix) if d.qk_norm and not d.qk_norm_whole else shaped


def _qk_norm(ops: Ops[T], d: Decoder, parts: list[T], prefix: str) -> list[T]:
    """Normalize query and key, not value."""
    query, key, *value = parts
    return [_norm(ops, d, query, prefix + "q_norm"), _norm(ops, d, key, prefix + "k_norm"), *value]


def _mlp(ops: Ops[T], d: Decoder, hidden: T, prefix: str) -> T:
    if d.fused_gate_up:
        gate, up = ops.halves(ops.linear(hidden, prefix + "gate_up_proj", d.mlp_bias))
    else:
        gate, up = (ops.linear(hidden, f"{prefix}{part}_proj", d.mlp_bias) for part in ("gate", "up"))
    return ops.linear(ops.multiply(ops.activate(gate, d.activation), up), prefix + "down_proj", d.mlp_bias)

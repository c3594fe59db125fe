"""The decoder: embeddings, layers of attention (or another mixer) and MLP, head. One program for every format, over `Ops`.

`Decoder` says which parts a family's block has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from .decoder import HEAD, TABLE, Decoder
from .experts import ROLES
from .ops import Ops, Rotation, T


@dataclass(frozen=True)
class _Layer(Generic[T]):
    """A layer, and what it shares with others: rotary embedding, mask, growth of queries."""

    index: int
    rotation: Rotation[T] | None
    mask: T | None
    growth: T | None
    kept: T | None

    @property
    def prefix(self) -> str:
        """What the names of its tensors begin with."""
        return f"model.layers.{self.index}."


def embed(ops: Ops[T], d: Decoder, ids: T) -> T:
    """Look ids int64 [batch, n] up: [batch, n, hidden]."""
    return _scaled(ops, ops.embed(TABLE, ids), d.embedding_scale)


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
    rotations = {rope: ops.rotation(positions, rope) for rope in d.distinct_ropes()}
    masks = {
        window: ops.mask(start, attention_mask, d.heads.groups, window)
        for window in dict.fromkeys(map(d.window_of, d.attending))
    }
    growth = ops.growth(positions, *d.query_growth) if d.query_growth else None
    kept = ops.kept(start, attention_mask) if d.states else None
    for index in range(d.num_layers):
        rope = d.rope_of(index)
        layer = _Layer(index, rotations.get(rope) if rope else None, masks.get(d.window_of(index)), growth, kept)
        hidden = _layer(ops, d, hidden, layer)
    hidden = _norm(ops, d, hidden, d.names.last_norm)
    return ops.logits(hidden, TABLE if d.tied else HEAD, scale=d.logit_scale, softcap=d.logit_softcap)


def _scaled(ops: Ops[T], states: T, factor: float) -> T:
    return states if factor == 1.0 else ops.scale(states, factor)


def _layer(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    prefix, norms = layer.prefix, d.norms
    normed = _placed(ops, d, hidden, prefix, norms.before_attention)
    given = _placed(ops, d, _mixed(ops, d, normed, layer), prefix, norms.after_attention)
    hidden = ops.add(hidden, _scaled(ops, given, d.residual_scale), prefix + "residual")
    if not d.parallel:
        normed = _placed(ops, d, hidden, prefix, norms.before_mlp)
    given = _placed(ops, d, _fed_forward(ops, d, normed, layer), prefix, norms.after_mlp)
    return ops.add(hidden, _scaled(ops, given, d.residual_scale), prefix + "output")


def _placed(ops: Ops[T], d: Decoder, hidden: T, prefix: str, module: str | None) -> T:
    """Apply one of a layer's norms; none where the family has none in that place."""
    return _norm(ops, d, hidden, prefix + module) if module else hidden


def _norm(ops: Ops[T], d: Decoder, states: T, name: str) -> T:
    if d.layer_norm:
        return ops.layer_norm(states, name, d.rms_norm_eps, bias=d.norm_bias)
    return ops.rms_norm(states, name, d.rms_norm_eps, d.norm_offset)


def _mixed(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    """Let positions see each other."""
    mixer = d.mixer_of(layer.index)
    if mixer is None:
        return _attention(ops, d, hidden, layer)
    assert layer.kept is not None
    return mixer.mix(ops, hidden, layer.kept, layer.prefix, layer.index)


def _attention(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    prefix = layer.prefix + "self_attn."
    assert layer.mask is not None
    query, key, value, *gates = _projections(ops, d, hidden, prefix)
    query, key, value = map(ops.heads_first, (query, key, value))
    if layer.rotation:
        query, key = (ops.rotate(states, layer.rotation, d.head_dim) for states in (query, key))
    if layer.growth is not None:
        query = ops.multiply(query, layer.growth)
    if d.qk_norm and d.qk_norm_late:
        query, key = _qk_norm(ops, d, [query, key], prefix)
    key, value = ops.remember(key, value, layer.index, d.heads)
    scale = d.head_dim**-0.5 if d.attention_scale is None else d.attention_scale
    context = ops.attention(
        query, key, value, layer.mask, heads=d.heads, scale=scale, name=prefix + "sdpa", softcap=d.attention_softcap
    )
    for gate in gates:
        context = ops.multiply(context, ops.sigmoid(ops.flat(gate, d.q_size)))
    return ops.linear(context, layer.prefix + d.names.output, d.output_bias)


def _projections(ops: Ops[T], d: Decoder, hidden: T, prefix: str) -> list[T]:
    """Query, key and value as [batch, n, heads, head_dim], and the gate if there is one."""
    if d.fused_qkv:
        parts = [*ops.split(ops.linear(hidden, prefix + "qkv_proj", d.qkv_bias), [d.q_size, d.kv_size, d.kv_size])]
    else:
        parts = [ops.linear(hidden, f"{prefix}{part}_proj", d.qkv_bias) for part in "qkv"]
    if d.qk_norm and d.qk_norm_whole:
        parts = _qk_norm(ops, d, parts, prefix)
    if d.gated:
        query, gate = ops.halves(ops.heads(parts[0], d.num_heads, 2 * d.head_dim))
        shaped = [query, *(ops.heads(part, d.num_kv_heads, d.head_dim) for part in parts[1:]), gate]
        return _qk_norm(ops, d, shaped, prefix) if d.qk_norm else shaped
    counts = (d.num_heads, d.num_kv_heads, d.num_kv_heads)
    shaped = [ops.heads(part, count, d.head_dim) for part, count in zip(parts, counts, strict=True)]
    early = d.qk_norm and not (d.qk_norm_whole or d.qk_norm_late)
    return _qk_norm(ops, d, shaped, prefix) if early else shaped


def _qk_norm(ops: Ops[T], d: Decoder, parts: list[T], prefix: str) -> list[T]:
    """Normalize query and key, not value."""
    query, key, *value = parts
    q_norm, k_norm = (prefix + name for name in d.qk_norm_names)
    return [_norm(ops, d, query, q_norm), _norm(ops, d, key, k_norm), *value]


def _fed_forward(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    """Pass the layer's MLP, or its experts and the one that all tokens share."""
    experts, prefix = d.experts_of(layer.index), layer.prefix
    if experts is None:
        return _mlp(ops, d, hidden, prefix)
    given = ops.experts(hidden, prefix, experts, d.activation)
    shared = experts.shared
    if shared is None:
        return given
    gate, up, down = (f"{prefix}{shared.module}.{role}_proj" for role in ROLES)
    gated = ops.multiply(ops.activate(ops.linear(hidden, gate, False), d.activation), ops.linear(hidden, up, False))
    beside = ops.linear(gated, down, False)
    if shared.gate:
        beside = ops.multiply(ops.sigmoid(ops.linear(hidden, prefix + shared.gate, False)), beside)
    return ops.add(given, beside)


def _mlp(ops: Ops[T], d: Decoder, hidden: T, prefix: str) -> T:
    if d.fused_gate_up:
        gate, up = ops.halves(ops.linear(hidden, prefix + "mlp.gate_up_proj", d.mlp_bias))
    else:
        gate, up = (ops.linear(hidden, prefix + part, d.mlp_bias) for part in (d.names.gate, d.names.up))
    return ops.linear(ops.multiply(ops.activate(gate, d.activation), up), prefix + d.names.down, d.mlp_bias)

"""The decoder: embeddings, layers of attention (or another mixer) and MLP, head. One program for every format, over `Ops`.

`Decoder` says which parts a family's block has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from . import laurel
from .altup import AltUp
from .attention import Attention
from .decoder import HEAD, HEAD_BIAS, SINKS, Decoder
from .description import DEEP_ROWS, PICTURE_PLACES, TABLE, TOKEN_TYPES
from .experts import ROLES
from .ops import Ops, Rotation, T


@dataclass(frozen=True)
class _Layer(Generic[T]):
    """A layer, its own input, and what it shares with others: rotary embedding, mask, growth of queries, keys and values."""

    index: int
    rotation: Rotation[T] | None
    mask: T | None
    growth: T | None
    kept: T | None
    vector: T | None
    remembered: dict[int, tuple[T, T]]
    cached: bool

    @property
    def prefix(self) -> str:
        """What the names of its tensors begin with."""
        return f"model.layers.{self.index}."


def embed(ops: Ops[T], d: Decoder, ids: T) -> T:
    """Look ids int64 [batch, n] up: [batch, n, hidden]."""
    return _scaled(ops, ops.embed(TABLE, ids), d.embedding_scale)


def decode(
    ops: Ops[T],
    d: Decoder,
    start: T,
    attention_mask: T,
    positions: T,
    *,
    from_embeds: bool = False,
    beside: Mapping[str, T] | None = None,
) -> T:
    """Write the decoder down, and return its logits [batch, n, vocab].

    Args:
        ops: the format's layers.
        d: the decoder's description.
        start: ids int64 [batch, n], or embeddings [batch, n, hidden] if `from_embeds`.
        attention_mask: int64 [batch, past + n].
        positions: int64 [batch, n], or [axes, batch, n].
        from_embeds: what `start` is.
        beside: the values of `Decoder.picture_inputs`, if pictures may be among the words.
    """
    hidden = _hidden(ops, d, start, _Given(attention_mask, positions, from_embeds, beside=beside or {}))
    bias = HEAD_BIAS if d.head_bias else None
    return ops.logits(hidden, TABLE if d.tied else HEAD, scale=d.logit_scale, softcap=d.logit_softcap, bias=bias)


def states(ops: Ops[T], d: Decoder, ids: T, attention_mask: T, *, both_ways: bool) -> T:
    """Write the decoder down without cache and head, and return the states [batch, n, hidden] of a whole text.

    Args:
        ops: the format's layers.
        d: the decoder's description, without layers that keep other states.
        ids: int64 [batch, n].
        attention_mask: int64 [batch, n].
        both_ways: positions see those behind them too; a window then lies half on either side.
    """
    return _hidden(ops, d, ids, _Given(attention_mask, ops.places(ids), cached=False, both_ways=both_ways))


@dataclass(frozen=True)
class _Given(Generic[T]):
    """What a text is read with."""

    attention_mask: T
    positions: T
    from_embeds: bool = False
    cached: bool = True
    both_ways: bool = False
    beside: Mapping[str, T] = field(default_factory=dict)


def _hidden(ops: Ops[T], d: Decoder, start: T, given: _Given[T]) -> T:
    attention_mask, positions = given.attention_mask, given.positions
    hidden = start if given.from_embeds else embed(ops, d, start)
    vectors = d.per_layer.vectors(ops, start, hidden) if d.per_layer else None
    rotations = {rope: ops.rotation(positions, rope) for rope in d.distinct_ropes()}
    together = ops.runs(given.beside[TOKEN_TYPES]) if TOKEN_TYPES in given.beside else None
    places = ops.numbered(given.beside[PICTURE_PLACES], hidden) if PICTURE_PLACES in given.beside else None
    masks = {
        (groups, window): ops.sight(start, attention_mask, window and window // 2, groups)
        if given.both_ways
        else ops.mask(start, attention_mask, groups, window, together)
        for groups, window in dict.fromkeys(map(d.vision_processor_of, d.attending))
    }
    growth = ops.growth(positions, *d.query_growth) if d.query_growth else None
    kept = ops.kept(start, attention_mask) if d.states else None
    remembered: dict[int, tuple[T, T]] = {}
    streams = d.altup.spread(ops, hidden) if d.altup else []
    for index in range(d.num_layers):
        rope, vector = d.rope_of(index), vectors[index] if vectors else None
        rotation, mask = rotations.get(rope) if rope else None, masks.get(d.vision_processor_of(index))
        layer = _Layer(index, rotation, mask, growth, kept, vector, remembered, given.cached)
        if d.altup is None:
            hidden = _layer(ops, d, hidden, layer)
            if places is not None and index < d.deepstack:
                hidden = ops.add(hidden, ops.rows_at(given.beside[DEEP_ROWS], index, places))
        else:
            streams = _beside(ops, d, d.altup, streams, layer)
    hidden = d.altup.merged(ops, streams) if d.altup else hidden
    return _norm(ops, d, hidden, d.names.last_norm)


def _scaled(ops: Ops[T], states: T, factor: float) -> T:
    return states if factor == 1.0 else ops.scale(states, factor)


def _layer(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    prefix, norms = layer.prefix, d.norms
    normed = _placed(ops, d, hidden, prefix, norms.before_attention)
    given = _placed(ops, d, _mixed(ops, d, normed, layer), prefix, norms.after_attention)
    beside = laurel.given(ops, normed, prefix, d.rms_norm_eps) if d.laurel_rank else None
    hidden = ops.add(hidden, _scaled(ops, given, d.residual_scale), prefix + "residual")
    if beside is not None:
        hidden = ops.scale(ops.add(hidden, beside), 2.0**-0.5)
    if not d.mlp:
        return hidden
    if not d.parallel:
        normed = _placed(ops, d, hidden, prefix, norms.before_mlp)
    given = _placed(ops, d, _fed_forward(ops, d, normed, layer), prefix, norms.after_mlp)
    hidden = ops.add(hidden, _scaled(ops, given, d.residual_scale), prefix + "output")
    if d.per_layer and layer.vector is not None and not d.altup:
        hidden = ops.add(hidden, d.per_layer.given(ops, hidden, layer.vector, prefix))
    return ops.multiply_stored(hidden, prefix + "layer_scalar") if d.layer_scalar else hidden


def _beside(ops: Ops[T], d: Decoder, altup: AltUp, streams: Sequence[T], layer: _Layer[T]) -> list[T]:
    """Pass a layer with one of several streams, and let the others follow: Gemma 3n's layer."""
    predicted = altup.predicted(ops, streams, layer.prefix)
    made = _layer(ops, d, predicted[altup.active], layer)
    corrected = altup.corrected(ops, predicted, made, layer.prefix)
    if d.per_layer is None or layer.vector is None:
        return corrected
    given = d.per_layer.given(ops, altup.scaled(ops, corrected[altup.active], layer.prefix), layer.vector, layer.prefix)
    return [corrected[0], *(ops.add(one, given) for one in corrected[1:])]


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
    made = mixer.mix(ops, hidden, layer.kept, layer.prefix, layer.index)
    if not d.beside:
        return made
    return ops.add(_scaled(ops, made, d.scales.mixer_out), _attention(ops, d, hidden, layer))


def _attention(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    prefix, how = layer.prefix + "self_attn.", d.attention_of(layer.index)
    assert layer.mask is not None
    hidden = _scaled(ops, hidden, d.scales.attention_in)
    made, gate = _heads(ops, d, hidden, layer)
    query, *own = made
    if layer.growth is not None:
        query = ops.multiply(query, layer.growth)
    if d.qk_norm and d.qk_norm_late:
        query, *own = _qk_norm(ops, d, [query, *own], prefix)
    if own:
        whole = ops.remember(own[0], own[1], layer.index, how.heads) if layer.cached else (own[0], own[1])
        layer.remembered[layer.index] = whole
    key, value = layer.remembered[layer.index if how.reads is None else how.reads]
    scale = how.heads.width**-0.5 if d.attention_scale is None else d.attention_scale
    context = ops.attention(
        query, key, value, layer.mask, heads=how.heads, scale=scale, name=prefix + "sdpa", softcap=d.attention_softcap,
        sinks=prefix + SINKS if d.sinks else None,
    )  # fmt: skip
    if gate is not None:
        context = ops.multiply(context, ops.sigmoid(ops.flat(gate, how.heads.queries * how.heads.width)))
    return _scaled(ops, ops.linear(context, layer.prefix + d.names.output, d.output_bias), d.scales.attention_out)


def _heads(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> tuple[list[T], T | None]:
    """Query, and of a layer that has its own, key and value, rotated: [batch, heads, n, width]; and the gate, if there is one."""
    prefix, how, rotation = layer.prefix + "self_attn.", d.attention_of(layer.index), layer.rotation
    if d.latent:
        assert rotation is not None
        return [*d.latent.parts(ops, hidden, prefix, rotation)], None
    parts, gate = _projections(ops, d, hidden, prefix, how)
    turning = 1 + (how.reads is None)
    made = [ops.heads_first(part) for part in parts]
    if rotation:
        made[:turning] = [ops.rotate(states, rotation, how.heads.width) for states in made[:turning]]
    return made, gate


def _projections(ops: Ops[T], d: Decoder, hidden: T, prefix: str, how: Attention) -> tuple[list[T], T | None]:
    """Query, and of a layer that has its own, key and value, as [batch, n, heads, width]; and the gate, if there is one."""
    if d.fused_qkv:
        parts = [*ops.split(ops.linear(hidden, prefix + "qkv_proj", d.qkv_bias), [d.q_size, d.kv_size, d.kv_size])]
    else:
        parts = [ops.linear(hidden, f"{prefix}{part}_proj", d.qkv_bias) for part in how.parts]
        parts[1:2] = [_scaled(ops, key, d.scales.keys) for key in parts[1:2]]
    if d.qk_norm and d.qk_norm_whole:
        parts = _qk_norm(ops, d, parts, prefix)
    heads, gate = how.heads, None
    query = ops.heads(parts[0], heads.queries, (1 + d.gated) * heads.width)
    if d.gated:
        query, gate = ops.halves(query)
    shaped = [query, *(ops.heads(part, heads.keys, heads.width) for part in parts[1:])]
    if how.value_is_key and how.reads is None:
        shaped.append(shaped[1])
    if d.qk_norm and not (d.qk_norm_whole or d.qk_norm_late):
        shaped = _qk_norm(ops, d, shaped, prefix)
    if how.value_norm and how.reads is None:
        shaped[2] = ops.rms_norm(shaped[2], None, d.rms_norm_eps)
    return shaped, gate


def _qk_norm(ops: Ops[T], d: Decoder, parts: list[T], prefix: str) -> list[T]:
    """Normalize query and key, where there is one, not value."""
    normed = [_norm(ops, d, part, prefix + name) for part, name in zip(parts, d.qk_norm_names, strict=False)]
    return normed + parts[2:]


def _fed_forward(ops: Ops[T], d: Decoder, hidden: T, layer: _Layer[T]) -> T:
    """Pass the layer's MLP, or its experts and the one that all tokens share."""
    experts, prefix = d.experts_of(layer.index), layer.prefix
    if experts is None:
        return _mlp(ops, d, hidden, prefix, d.sparsity[layer.index] if d.sparsity else None)
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


def _mlp(ops: Ops[T], d: Decoder, hidden: T, prefix: str, deviations: float | None) -> T:
    if d.fused_gate_up:
        gate, up = ops.halves(ops.linear(hidden, prefix + "mlp.gate_up_proj", d.mlp_bias))
    elif d.names.gate is None:
        acted = ops.activate(ops.linear(hidden, prefix + d.names.up, d.mlp_bias), d.activation)
        return ops.linear(acted, prefix + d.names.down, d.mlp_bias)
    else:
        gate, up = (ops.linear(hidden, prefix + part, d.mlp_bias) for part in (d.names.gate, d.names.up))
    if deviations is not None:
        gate = ops.above(gate, deviations)
    gated = ops.multiply(ops.activate(_scaled(ops, gate, d.scales.gate), d.activation), up)
    return _scaled(ops, ops.linear(gated, prefix + d.names.down, d.mlp_bias), d.scales.down)

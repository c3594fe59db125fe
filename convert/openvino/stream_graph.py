"""The OpenVINO graph of a decoder, built with the opset API from its description, as optimum-intel's exporter shapes it.

Inputs: input_ids int64 [batch, n], attention_mask int64 [batch, past + n], position_ids int64 [batch, n],
beam_idx int32 [batch]. Output: logits float32 [batch, n, vocab]. Keys and values live in variables
`past_key_values.{i}.{key,value}present.{i}.{key,value}`, float32 [batch, kv_heads, past, head_dim].
The language half of a model that sees has inputs_embeds float32 [batch, n, hidden] in the place of input_ids, and the table of
embeddings in a graph of its own: input int64 [batch, n] to inputs_embeds.

The form follows what the runtime's fusions look for (stateful attention, grouped heads, RMS norm, rotary embedding): change it
only with tests/convert/openvino/test_stream.py at hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..families.decoder import Decoder
from ..families.rope import Rope
from .stream_ops import Node, Operations, Weights

TABLE = "model.embed_tokens.weight"
ROTARY = "rotary/angles"
"""The product of frequencies and positions, which NNCF takes for a layer."""
_MASKED = np.float32(-65504.0)
"""What a masked position gets: float16's lowest, as in optimum's graphs."""


def build(decoder: Decoder, weights: Weights, *, from_embeds: bool = False) -> Any:
    """Build the stateful model (`openvino.Model`) around the constants that `weights` supplies.

    Args:
        decoder: its description.
        weights: supplies the constants.
        from_embeds: the input is inputs_embeds; without it, input_ids.
    """
    return _Builder(decoder, weights).model(from_embeds=from_embeds)


def build_embeddings(decoder: Decoder, weights: Weights) -> Any:
    """Build the graph of the embeddings alone, with optimum-intel's names: input to inputs_embeds."""
    import openvino as ov

    graph = Operations(weights)
    ids = graph.input("input", [-1, -1], np.int64)
    rows = graph.lookup(weights(TABLE), ids)
    return ov.Model([graph.output(rows, "inputs_embeds")], [ids], "model")


class _Builder(Operations):
    def __init__(self, decoder: Decoder, weights: Weights) -> None:
        super().__init__(weights)
        self.d = decoder
        self.sinks: list[Node] = []

    def model(self, *, from_embeds: bool) -> Any:
        import openvino as ov

        if from_embeds:
            start = hidden = self.input("inputs_embeds", [-1, -1, self.d.hidden_size], np.float32)
        else:
            start = self.input("input_ids", [-1, -1], np.int64)
        mask = self.input("attention_mask", [-1, -1], np.int64)
        positions = self.input("position_ids", [-1, -1], np.int64)
        self.beam = self.input("beam_idx", [-1], np.int32)
        self.batch = self.batch_of(start)
        table = self.weights(TABLE) if self.d.tied or not from_embeds else None
        if not from_embeds:
            hidden = self.lookup(table, start)
        self.cos, self.sin = self._rotations(positions)
        self.mask = self._causal_mask(start, mask)
        for layer in range(self.d.num_layers):
            hidden = self._layer(hidden, layer)
        hidden = self._rms_norm(hidden, "model.norm.weight")
        head = table if self.d.tied else self.weights("lm_head.weight")
        logits = self.ops.matmul(hidden, head, transpose_a=False, transpose_b=True, name="logits")
        # optimum-intel puts inputs_embeds third, input_ids first
        inputs = [mask, positions, start] if from_embeds else [start, mask, positions]
        return ov.Model([self.output(logits, "logits")], self.sinks, [*inputs, self.beam], "model")

    def _layer(self, hidden: Node, layer: int) -> Node:
        prefix, norms = f"model.layers.{layer}.", self.d.norms
        given = self._attention(self._norm(hidden, prefix, norms.before_attention), prefix + "self_attn.", layer)
        hidden = self.ops.add(hidden, self._norm(given, prefix, norms.after_attention), name=prefix + "residual")
        given = self._mlp(self._norm(hidden, prefix, norms.before_mlp), prefix + "mlp.")
        return self.ops.add(hidden, self._norm(given, prefix, norms.after_mlp), name=prefix + "output")

    def _norm(self, hidden: Node, prefix: str, module: str | None) -> Node:
        """Apply one of a layer's norms; none where the family has none in that place."""
        return self._rms_norm(hidden, f"{prefix}{module}.weight") if module else hidden

    def _attention(self, hidden: Node, prefix: str, layer: int) -> Node:
        ops, d = self.ops, self.d
        query, key, value = (self.swap(part) for part in self._projections(hidden, prefix))
        key = self._remember(self._rotate(key), layer, "key")
        value = self._remember(value, layer, "value")
        context = ops.scaled_dot_product_attention(
            self._rotate(query), self._repeat(key), self._repeat(value), self.mask,
            ops.constant(d.head_dim**-0.5, np.float32), causal=False, name=prefix + "sdpa",
        )  # fmt: skip
        context = ops.reshape(self.swap(context), self.i64([0, 0, d.q_size]), special_zero=True)
        return self.linear(context, prefix + "o_proj", d.output_bias)

    def _projections(self, hidden: Node, prefix: str) -> list[Node]:
        """Query, key and value as [batch, n, heads, head_dim]."""
        ops, d = self.ops, self.d
        if d.fused_qkv:
            fused = self.linear(hidden, prefix + "qkv_proj", d.qkv_bias)
            sizes = self.i64([d.q_size, d.kv_size, d.kv_size])
            parts = ops.variadic_split(fused, self.i64(-1), sizes).outputs()
        else:
            parts = [self.linear(hidden, f"{prefix}{part}_proj", d.qkv_bias) for part in "qkv"]
        if d.qk_norm and d.qk_norm_whole:
            parts = self._qk_norm(parts, prefix)
        heads = (d.num_heads, d.num_kv_heads, d.num_kv_heads)
        shaped = [self.heads(part, n, d.head_dim) for part, n in zip(parts, heads, strict=True)]
        return self._qk_norm(shaped, prefix) if d.qk_norm and not d.qk_norm_whole else shaped

    def _qk_norm(self, parts: list[Node], prefix: str) -> list[Node]:
        """Normalize query and key, not value."""
        query, key, value = parts
        return [self._rms_norm(query, prefix + "q_norm.weight"), self._rms_norm(key, prefix + "k_norm.weight"), value]

    def _mlp(self, hidden: Node, prefix: str) -> Node:
        ops, d = self.ops, self.d
        if d.fused_gate_up:
            fused = self.linear(hidden, prefix + "gate_up_proj", d.mlp_bias)
            gate, up = ops.split(fused, self.i64(-1), 2).outputs()
        else:
            gate, up = (self.linear(hidden, f"{prefix}{part}_proj", d.mlp_bias) for part in ("gate", "up"))
        inner = ops.multiply(self.activate(gate, d.activation), up)
        return self.linear(inner, prefix + "down_proj", d.mlp_bias)

    def _rms_norm(self, hidden: Node, name: str) -> Node:
        ops = self.ops
        square = ops.power(hidden, ops.constant(2.0, np.float32))
        mean = ops.reduce_mean(square, self.i64([-1]), keep_dims=True)
        root = ops.sqrt(ops.add(mean, ops.constant(self.d.rms_norm_eps, np.float32)))
        normed = ops.multiply(hidden, ops.divide(ops.constant(1.0, np.float32), root))
        return ops.multiply(self.weights(name), normed)

    def _rotations(self, positions: Node) -> tuple[Node, Node]:
        """Cosine and sine, float32 [batch, 1, n, dim], of each position times each frequency."""
        ops, rope = self.ops, self.d.rope
        frequencies = ops.constant(rope.inverse_frequencies()[None, :, None], np.float32)
        steps = ops.convert(ops.unsqueeze(positions, self.i64(1)), np.float32)
        angles = ops.transpose(
            ops.matmul(frequencies, steps, False, False, name=ROTARY), ops.constant([0, 2, 1], np.int32)
        )
        angles = _pairs(self, angles) if rope.interleaved else ops.concat([angles, angles], -1)
        return ops.unsqueeze(ops.cos(angles), self.i64(1)), ops.unsqueeze(ops.sin(angles), self.i64(1))

    def _rotate(self, states: Node) -> Node:
        """Rotate the first `rope.dim` dimensions of [batch, heads, n, head_dim]."""
        ops, rope = self.ops, self.d.rope
        rest = None
        if rope.dim < self.d.head_dim:
            sizes = self.i64([rope.dim, self.d.head_dim - rope.dim])
            states, rest = ops.variadic_split(states, self.i64(-1), sizes).outputs()
        turned = self._quarter_turn(states, rope)
        rotated = ops.add(ops.multiply(states, self.cos), ops.multiply(turned, self.sin))
        return rotated if rest is None else ops.concat([rotated, rest], -1)

    def _quarter_turn(self, states: Node, rope: Rope) -> Node:
        """(x, y) -> (-y, x) for every pair."""
        ops, half = self.ops, rope.dim // 2
        last = self.i64([3])
        if rope.interleaved:
            end, step = self.i64([2**63 - 1]), self.i64([2])
            x, y = (ops.slice(states, self.i64([i]), end, step, last) for i in (0, 1))
            pair = ops.concat([ops.unsqueeze(self._negative(y), self.i64(-1)), ops.unsqueeze(x, self.i64(-1))], -1)
            return ops.reshape(pair, self.i64([0, 0, 0, rope.dim]), special_zero=True)
        step = self.i64([1])
        x = ops.slice(states, self.i64([0]), self.i64([half]), step, last)
        y = ops.slice(states, self.i64([half]), self.i64([2**63 - 1]), step, last)
        return ops.concat([self._negative(y), x], -1)

    def _negative(self, states: Node) -> Node:
        """Multiply by -1: the form that the rotary fusion knows, unlike Negative."""
        return self.ops.multiply(states, self.ops.constant(-1.0, np.float32))

    def _remember(self, states: Node, layer: int, kind: str) -> Node:
        """Append to the cache and return all of it: [batch, kv_heads, past + n, head_dim]."""
        import openvino as ov

        ops, d = self.ops, self.d
        sizes = [self.i64([d.num_kv_heads]), self.i64([0]), self.i64([d.head_dim])]
        empty = ops.broadcast(ops.constant(0.0, np.float32), ops.concat([self.batch, *sizes], 0))
        shape = ov.PartialShape([-1, d.num_kv_heads, -1, d.head_dim])
        name = f"past_key_values.{layer}.{kind}present.{layer}.{kind}"
        past = ops.read_value(empty, name, np.float32, shape, name=f"{kind}.{layer}.read")
        past = ops.gather(past, self.beam, self.i64(0))
        whole = ops.concat([past, states], -2)
        self.sinks.append(ops.assign(whole, name, name=f"{kind}.{layer}.assign"))
        return whole

    def _repeat(self, states: Node) -> Node:
        """Give every query head its key or value head."""
        ops, d = self.ops, self.d
        groups = d.num_heads // d.num_kv_heads
        if groups == 1:
            return states
        shape = ops.shape_of(states)
        front = ops.gather(shape, self.i64([0, 1]), self.i64(0))
        length = ops.gather(shape, self.i64([2]), self.i64(0))
        target = ops.concat([front, self.i64([groups]), length, self.i64([d.head_dim])], 0)
        # the mode goes by keyword: as a positional argument it is taken for axes_mapping, and the fusion is lost
        wide = ops.broadcast(ops.unsqueeze(states, self.i64(2)), target, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(wide, self.i64([0, d.num_heads, -1, d.head_dim]), special_zero=True)

    def _causal_mask(self, start: Node, attention_mask: Node) -> Node:
        """float32 [batch, 1, n, past + n]: 0 where a position may look, else float16's lowest."""
        ops = self.ops
        new = ops.gather(ops.shape_of(start), self.i64(1), self.i64(0))
        total = ops.gather(ops.shape_of(attention_mask), self.i64(1), self.i64(0))
        zero, one = self.i64(0), self.i64(1)
        columns = ops.range(zero, total, one, "i64")
        rows = ops.unsqueeze(ops.range(ops.subtract(total, new), total, one, "i64"), self.i64(1))
        causal = ops.unsqueeze(ops.less_equal(columns, rows), self.i64([0, 1]))
        kept = ops.unsqueeze(ops.not_equal(attention_mask, zero), self.i64([1, 2]))
        seen = ops.logical_and(causal, kept)
        return ops.select(seen, ops.constant(0.0, np.float32), ops.constant(_MASKED, np.float32))


def _pairs(builder: _Builder, angles: Node) -> Node:
    """[batch, n, dim / 2] -> [batch, n, dim], every value twice in a row."""
    ops = builder.ops
    twice = ops.unsqueeze(angles, builder.i64(-1))
    return ops.reshape(ops.concat([twice, twice], -1), builder.i64([0, 0, builder.d.rope.dim]), special_zero=True)

"""The ONNX graph of a decoder, built from its description, with the inputs and outputs of optimum's exports.

Inputs: input_ids int64 [batch, n], attention_mask int64 [batch, past + n], position_ids int64 [batch, n], and for each layer
past_key_values.{i}.{key,value} float32 [batch, kv_heads, past, head_dim]. Outputs: logits float32 [batch, n, vocab] and
present.{i}.{key,value}, past and new in one. The language half of a model that sees has inputs_embeds float32
[batch, n, hidden] in the place of input_ids, and the table of embeddings in a model of its own.

All operators but MatMulNBits are standard ONNX. Query heads that share a key are multiplied with it together, as further rows of
one matrix: keys and values are never repeated.
"""

from __future__ import annotations

import numpy as np

from ..families.decoder import Decoder
from .ops import Graph, Value

IDS, EMBEDS = "input_ids", "inputs_embeds"
TABLE = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
LOGITS = "logits"
FREQUENCIES = "rotary/frequencies"
_MASKED = -65504.0
"""What a masked position gets: float16's lowest, as in the IR."""


def build(graph: Graph, decoder: Decoder, *, from_embeds: bool = False) -> None:
    """Add the decoder's inputs, nodes and outputs to an empty graph; `from_embeds`: its input is inputs_embeds."""
    _Builder(graph, decoder).build(from_embeds=from_embeds)


def build_embeddings(graph: Graph) -> None:
    """Add the table of embeddings alone: input_ids to inputs_embeds."""
    ids = graph.input(IDS, graph.types.INT64, ["batch", "n"])
    rows = graph.lookup(TABLE, ids)
    graph.output(rows, EMBEDS, graph.types.FLOAT, ["batch", "n", graph.width(TABLE)])


class _Builder:
    def __init__(self, graph: Graph, decoder: Decoder) -> None:
        self.g = graph
        self.d = decoder

    def build(self, *, from_embeds: bool) -> None:
        g, d, types = self.g, self.d, self.g.types
        if from_embeds:
            start = g.input(EMBEDS, types.FLOAT, ["batch", "n", d.hidden_size])
        else:
            start = g.input(IDS, types.INT64, ["batch", "n"])
        mask = g.input("attention_mask", types.INT64, ["batch", "total"])
        positions = g.input("position_ids", types.INT64, ["batch", "n"])
        shape: list[int | str] = ["batch", d.num_kv_heads, "past", d.head_dim]
        for layer in range(d.num_layers):
            for kind in ("key", "value"):
                g.input(f"past_key_values.{layer}.{kind}", types.FLOAT, shape)
        hidden = start if from_embeds else g.lookup(TABLE, start)
        self.cos, self.sin = self._rotations(positions)
        self.mask = self._causal_mask(start, mask)
        for layer in range(d.num_layers):
            hidden = self._layer(hidden, layer)
        hidden = self._rms_norm(hidden, "model.norm.weight")
        g.matmul(hidden, TABLE if d.tied else HEAD, LOGITS)
        g.output(LOGITS, LOGITS, types.FLOAT, ["batch", "n", d.vocab_size])
        whole: list[int | str] = ["batch", d.num_kv_heads, "total", d.head_dim]
        for layer in range(d.num_layers):
            for kind in ("key", "value"):
                name = f"present.{layer}.{kind}"
                g.output(name, name, types.FLOAT, whole)

    def _layer(self, hidden: Value, layer: int) -> Value:
        prefix, norms = f"model.layers.{layer}.", self.d.norms
        given = self._attention(self._norm(hidden, prefix, norms.before_attention), prefix + "self_attn.", layer)
        hidden = self.g.op("Add", hidden, self._norm(given, prefix, norms.after_attention))
        given = self._mlp(self._norm(hidden, prefix, norms.before_mlp), prefix + "mlp.")
        return self.g.op("Add", hidden, self._norm(given, prefix, norms.after_mlp))

    def _norm(self, hidden: Value, prefix: str, module: str | None) -> Value:
        """Apply one of a layer's norms; none where the family has none in that place."""
        return self._rms_norm(hidden, f"{prefix}{module}.weight") if module else hidden

    def _attention(self, hidden: Value, prefix: str, layer: int) -> Value:
        g, d = self.g, self.d
        query, key, value = (g.op("Transpose", part, perm=[0, 2, 1, 3]) for part in self._projections(hidden, prefix))
        query, key = self._rotate(query), self._rotate(key)
        past = f"past_key_values.{layer}."
        key = g.op("Concat", past + "key", key, axis=2, name=f"present.{layer}.key")
        value = g.op("Concat", past + "value", value, axis=2, name=f"present.{layer}.value")
        query = g.op("Mul", query, g.f32(d.head_dim**-0.5))
        query = g.op("Reshape", query, g.i64([0, d.num_kv_heads, -1, d.head_dim]))
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
        weights = g.op("Softmax", g.op("Add", scores, self.mask), axis=-1)
        context = g.op("Reshape", g.op("MatMul", weights, value), g.i64([0, d.num_heads, -1, d.head_dim]))
        context = g.op("Reshape", g.op("Transpose", context, perm=[0, 2, 1, 3]), g.i64([0, 0, d.q_size]))
        return g.linear(context, prefix + "o_proj", d.output_bias)

    def _projections(self, hidden: Value, prefix: str) -> list[Value]:
        """Query, key and value as [batch, n, heads, head_dim]."""
        g, d = self.g, self.d
        if d.fused_qkv:
            fused = g.linear(hidden, prefix + "qkv_proj", d.qkv_bias)
            parts = g.ops("Split", [fused, g.i64([d.q_size, d.kv_size, d.kv_size])], 3, axis=-1)
        else:
            parts = [g.linear(hidden, f"{prefix}{part}_proj", d.qkv_bias) for part in "qkv"]
        if d.qk_norm and d.qk_norm_whole:
            parts = self._qk_norm(parts, prefix)
        heads = (d.num_heads, d.num_kv_heads, d.num_kv_heads)
        shaped = [g.op("Reshape", part, g.i64([0, 0, n, d.head_dim])) for part, n in zip(parts, heads, strict=True)]
        return self._qk_norm(shaped, prefix) if d.qk_norm and not d.qk_norm_whole else shaped

    def _qk_norm(self, parts: list[Value], prefix: str) -> list[Value]:
        """Normalize query and key, not value."""
        query, key, value = parts
        return [self._rms_norm(query, prefix + "q_norm.weight"), self._rms_norm(key, prefix + "k_norm.weight"), value]

    def _mlp(self, hidden: Value, prefix: str) -> Value:
        g, d = self.g, self.d
        if d.fused_gate_up:
            fused = g.linear(hidden, prefix + "gate_up_proj", d.mlp_bias)
            gate, up = g.ops("Split", [fused], 2, axis=-1, num_outputs=2)
        else:
            gate, up = (g.linear(hidden, f"{prefix}{part}_proj", d.mlp_bias) for part in ("gate", "up"))
        return g.linear(g.op("Mul", g.activate(gate, d.activation), up), prefix + "down_proj", d.mlp_bias)

    def _rms_norm(self, hidden: Value, name: str) -> Value:
        g = self.g
        mean = g.op("ReduceMean", g.op("Pow", hidden, g.f32(2)), g.i64([-1]), keepdims=1)
        root = g.op("Sqrt", g.op("Add", mean, g.f32(self.d.rms_norm_eps)))
        return g.op("Mul", g.op("Div", hidden, root), g.vector(name))

    def _rotations(self, positions: Value) -> tuple[Value, Value]:
        """Cosine and sine, float32 [batch, 1, n, dim / 2], of each position times each frequency."""
        g, rope = self.g, self.d.rope
        steps = g.float32(g.op("Unsqueeze", positions, g.i64([1, 3])))
        frequencies = rope.inverse_frequencies().reshape(1, 1, 1, -1)
        angles = g.op("Mul", steps, g.constant(frequencies, np.float32, FREQUENCIES))
        return g.op("Cos", angles), g.op("Sin", angles)

    def _rotate(self, states: Value) -> Value:
        """Rotate the first `rope.dim` dimensions of [batch, heads, n, head_dim]."""
        g, d, rope = self.g, self.d, self.d.rope
        rest = []
        if rope.dim < d.head_dim:
            states, rest_ = g.ops("Split", [states, g.i64([rope.dim, d.head_dim - rope.dim])], 2, axis=-1)
            rest = [rest_]
        if not rope.interleaved:
            x, y = g.ops("Split", [states], 2, axis=-1, num_outputs=2)
            x, y = self._turn(x, y)
            return g.op("Concat", x, y, *rest, axis=-1)
        last = g.i64([3])
        x, y = (g.op("Slice", states, g.i64([i]), g.i64([rope.dim]), last, g.i64([2])) for i in (0, 1))
        x, y = self._turn(x, y)
        pair = g.op("Concat", g.op("Unsqueeze", x, g.i64([-1])), g.op("Unsqueeze", y, g.i64([-1])), axis=-1)
        turned = g.op("Reshape", pair, g.i64([0, 0, 0, rope.dim]))
        return g.op("Concat", turned, *rest, axis=-1) if rest else turned

    def _turn(self, x: Value, y: Value) -> tuple[Value, Value]:
        """Turn every pair by its angle."""
        g = self.g
        return (
            g.op("Sub", g.op("Mul", x, self.cos), g.op("Mul", y, self.sin)),
            g.op("Add", g.op("Mul", y, self.cos), g.op("Mul", x, self.sin)),
        )

    def _causal_mask(self, start: Value, attention_mask: Value) -> Value:
        """float32 [batch, 1, groups * n, past + n]: 0 where a position may look, else float16's lowest."""
        g, d = self.g, self.d
        new = g.op("Squeeze", g.op("Shape", start, start=1, end=2))
        total = g.op("Squeeze", g.op("Shape", attention_mask, start=1, end=2))
        one = g.i64(1)
        columns = g.op("Range", g.i64(0), total, one)
        rows = g.op("Unsqueeze", g.op("Range", g.op("Sub", total, new), total, one), g.i64([1]))
        causal = g.op("Unsqueeze", g.op("LessOrEqual", columns, rows), g.i64([0, 1]))
        kept = g.op("Unsqueeze", g.op("Cast", attention_mask, to=g.types.BOOL), g.i64([1, 2]))
        mask = g.op("Where", g.op("And", causal, kept), g.f32(0), g.f32(_MASKED))
        groups = d.num_heads // d.num_kv_heads
        return mask if groups == 1 else g.op("Tile", mask, g.i64([1, 1, groups, 1]))

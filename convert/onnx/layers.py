"""The layers of `program.ops` as ONNX nodes.

All operators but MatMulNBits, MoE and QMoE are standard ONNX. Query heads that share a key are multiplied with it together, as
further rows of one matrix: keys and values are never repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..program.experts import Experts
from ..program.ops import Heads, Rotation
from ..program.rope import Rope
from . import experts as stacked
from .names import LOGITS
from .ops import Graph, Value
from .pictures import PictureLayers
from .states import StateLayers
from .whole import MASKED, WholeLayers

FREQUENCIES = "rotary/frequencies"


class Layers(WholeLayers, StateLayers, PictureLayers):
    """`program.ops.Ops` over `Value`; the nodes go to `graph`."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._rotations = 0

    # -- stored weights

    def embed(self, table: str, ids: Value) -> Value:
        return self.graph.lookup(table, ids)

    def linear(self, hidden: Value, name: str, bias: bool) -> Value:
        return self.graph.linear(hidden, name, bias)

    def linear_heads(self, hidden: Value, name: str, heads: int, width: int) -> Value:
        g = self.graph
        shape = g.i64([0, 0, heads, width])
        return g.op("Reshape", g.linear(hidden, name, bias=True), shape)

    def logits(
        self, hidden: Value, weight: str, *, scale: float = 1.0, softcap: float | None = None, bias: str | None = None
    ) -> Value:
        product = self.graph.matmul(hidden, weight, LOGITS if (scale, softcap, bias) == (1.0, None, None) else None)
        product = self.add_stored(product, bias) if bias else product
        return self._capped(product if scale == 1.0 else self.scale(product, scale), softcap)

    def _capped(self, states: Value, cap: float | None) -> Value:
        if cap is None:
            return states
        return self.scale(self.graph.op("Tanh", self.graph.op("Div", states, self.graph.f32(cap))), cap)

    def rms_norm(self, states: Value, name: str | None, eps: float, offset: float = 0.0) -> Value:
        g = self.graph
        mean = g.op("ReduceMean", g.op("Pow", states, g.f32(2)), g.i64([-1]), keepdims=1)
        root = g.op("Sqrt", g.op("Add", mean, g.f32(eps)))
        normed = g.op("Div", states, root)
        if name is None:
            return normed
        weight = g.vector(name + ".weight")
        return g.op("Mul", normed, g.op("Add", weight, g.f32(offset)) if offset else weight)

    def layer_norm(self, states: Value, name: str, eps: float, *, bias: bool = True) -> Value:
        parts = [self.graph.vector(f"{name}.{part}") for part in (("weight", "bias") if bias else ("weight",))]
        return self.graph.op("LayerNormalization", states, *parts, axis=-1, epsilon=eps)

    # -- values

    def add(self, left: Value, right: Value, name: str | None = None) -> Value:
        return self.graph.op("Add", left, right)

    def add_stored(self, states: Value, name: str) -> Value:
        return self.graph.op("Add", states, self.graph.vector(name))

    def multiply(self, left: Value, right: Value) -> Value:
        return self.graph.op("Mul", left, right)

    def multiply_stored(self, states: Value, name: str) -> Value:
        return self.graph.op("Mul", states, self.graph.vector(name))

    def multiply_each(self, states: Value, name: str) -> Value:
        g = self.graph
        return g.op("Mul", states, g.op("Reshape", g.vector(name), g.i64([-1, 1])))

    def scale(self, states: Value, factor: float) -> Value:
        return self.graph.op("Mul", states, self.graph.f32(factor))

    def activate(self, states: Value, kind: str) -> Value:
        return self.graph.activate(states, kind)

    def sigmoid(self, states: Value) -> Value:
        return self.graph.op("Sigmoid", states)

    def tanh(self, states: Value) -> Value:
        return self.graph.op("Tanh", states)

    def divide(self, left: Value, right: Value) -> Value:
        return self.graph.op("Div", left, right)

    def magnitude(self, states: Value, least: float) -> Value:
        g = self.graph
        return g.op("Sqrt", g.op("Max", self._mean(g.op("Mul", states, states)), g.f32(least)))

    def above(self, states: Value, deviations: float) -> Value:
        g = self.graph
        off = g.op("Sub", states, self._mean(states))
        deviation = g.op("Sqrt", self._mean(g.op("Mul", off, off)))
        return g.op("Relu", g.op("Sub", off, self.scale(deviation, deviations)))

    def _mean(self, states: Value) -> Value:
        return self.graph.op("ReduceMean", states, self.graph.i64([-1]), keepdims=1)

    def product(self, left: Value, right: Value) -> Value:
        return self.graph.op("MatMul", left, right)

    def experts(self, hidden: Value, prefix: str, experts: Experts, activation: str) -> Value:
        return stacked.experts(self.graph, hidden, prefix, experts, activation)

    def halves(self, states: Value) -> Sequence[Value]:
        return self.graph.ops("Split", [states], 2, axis=-1, num_outputs=2)

    def split(self, states: Value, sizes: Sequence[int]) -> Sequence[Value]:
        return self.graph.ops("Split", [states, self.graph.i64(sizes)], len(sizes), axis=-1)

    def joined(self, parts: Sequence[Value]) -> Value:
        return self.graph.op("Concat", *parts, axis=-1)

    def heads_first(self, states: Value) -> Value:
        return self.graph.op("Transpose", states, perm=[0, 2, 1, 3])

    def repeated(self, states: Value, heads: Heads) -> Value:
        g = self.graph
        if heads.groups == 1:
            return states
        wide = g.op("Tile", g.op("Unsqueeze", states, g.i64([2])), g.i64([1, 1, heads.groups, 1, 1]))
        return g.op("Reshape", wide, g.i64([0, heads.queries, -1, heads.width]))

    # -- rotary embedding

    def rotation(self, positions: Value, rope: Rope) -> Rotation[Value]:
        """Cosine and sine are [batch, 1, n, dim / 2]."""
        g = self.graph
        if rope.sections:
            chosen = g.op("Transpose", g.op("Gather", positions, g.i64(rope.axes()), axis=0), perm=[1, 2, 0])
            steps = g.float32(g.op("Unsqueeze", chosen, g.i64([1])))
        else:
            steps = g.float32(g.op("Unsqueeze", positions, g.i64([1, 3])))
        shape = (1, 1, 1, -1)
        name = f"{FREQUENCIES}/{self._rotations}" if self._rotations else FREQUENCIES
        self._rotations += 1
        frequencies = g.constant(rope.inverse_frequencies().reshape(shape), np.float32, name)
        if rope.switch:
            last = g.op("ReduceMax", positions, keepdims=0)
            long = g.constant(rope.long_frequencies().reshape(shape), np.float32, f"{name}/long")
            frequencies = g.op("Where", g.op("GreaterOrEqual", last, g.i64(rope.switch)), long, frequencies)
        return self._by(g.op("Mul", steps, frequencies), rope)

    def turned_by(self, angles: Value, rope: Rope) -> Rotation[Value]:
        return self._by(self.graph.op("Unsqueeze", angles, self.graph.i64([0, 1])), rope)

    def _by(self, angles: Value, rope: Rope) -> Rotation[Value]:
        """Return the rotation by angles [batch, 1, n, dim / 2]."""
        g = self.graph
        cos, sin = g.op("Cos", angles), g.op("Sin", angles)
        if rope.attention_factor != 1.0:
            cos, sin = (self.scale(one, rope.attention_factor) for one in (cos, sin))
        return Rotation(cos, sin, rope)

    def growth(self, positions: Value, beta: float, step: float) -> Value:
        g = self.graph
        steps = g.float32(g.op("Unsqueeze", positions, g.i64([1, 3])))
        grown = g.op("Log", g.op("Add", g.f32(1), g.op("Floor", g.op("Div", steps, g.f32(step)))))
        return g.op("Add", g.f32(1), self.scale(grown, beta))

    def rotate(self, states: Value, rotation: Rotation[Value], width: int) -> Value:
        g, rope = self.graph, rotation.rope
        rest: list[Value] = []
        if rope.dim < width:
            states, *rest = self.split(states, [rope.dim, width - rope.dim])
        if not rope.interleaved:
            x, y = self.halves(states)
            x, y = self._turn(x, y, rotation)
            return g.op("Concat", x, y, *rest, axis=-1)
        last = g.i64([3])
        x, y = (g.op("Slice", states, g.i64([i]), g.i64([rope.dim]), last, g.i64([2])) for i in (0, 1))
        x, y = self._turn(x, y, rotation)
        pair = g.op("Concat", g.op("Unsqueeze", x, g.i64([-1])), g.op("Unsqueeze", y, g.i64([-1])), axis=-1)
        turned = g.op("Reshape", pair, g.i64([0, 0, 0, rope.dim]))
        return g.op("Concat", turned, *rest, axis=-1) if rest else turned

    def _turn(self, x: Value, y: Value, by: Rotation[Value]) -> tuple[Value, Value]:
        """Turn every pair by its angle."""
        g = self.graph
        return (
            g.op("Sub", g.op("Mul", x, by.cos), g.op("Mul", y, by.sin)),
            g.op("Add", g.op("Mul", y, by.cos), g.op("Mul", x, by.sin)),
        )

    # -- attention

    def mask(
        self, start: Value, attention_mask: Value, groups: int, window: int | None = None, together: Value | None = None
    ) -> Value:
        """float32 [batch, 1, groups * n, past + n]: 0 where a position may look, else float16's lowest."""
        g = self.graph
        new = g.op("Squeeze", g.op("Shape", start, start=1, end=2))
        total = g.op("Squeeze", g.op("Shape", attention_mask, start=1, end=2))
        one = g.i64(1)
        columns = g.op("Range", g.i64(0), total, one)
        rows = g.op("Unsqueeze", g.op("Range", g.op("Sub", total, new), total, one), g.i64([1]))
        causal = g.op("LessOrEqual", columns, rows)
        if window is not None:
            causal = g.op("And", causal, g.op("Greater", columns, g.op("Sub", rows, g.i64(window))))
        causal = g.op("Unsqueeze", causal, g.i64([0, 1]))
        if together is not None:
            causal = g.op("Or", causal, self._of_one(together, total, new))
        kept = g.op("Unsqueeze", g.op("Cast", attention_mask, to=g.types.BOOL), g.i64([1, 2]))
        mask = g.op("Where", g.op("And", causal, kept), g.f32(0), g.f32(MASKED))
        return mask if groups == 1 else g.op("Tile", mask, g.i64([1, 1, groups, 1]))

    def _of_one(self, groups: Value, total: Value, new: Value) -> Value:
        """Say which new positions are of one group, bool [batch, 1, n, past + n]; those of the cache are of none."""
        g = self.graph
        past = g.op("Unsqueeze", g.op("Sub", total, new), g.i64([0]))
        shape = g.op("Concat", g.op("Shape", groups, start=0, end=1), past, axis=0)
        nothing = g.op("Expand", g.i64(0), shape)
        others = g.op("Unsqueeze", g.op("Concat", nothing, groups, axis=1), g.i64([1, 2]))
        own = g.op("Unsqueeze", groups, g.i64([1, 3]))
        return g.op("And", g.op("Equal", own, others), g.op("Cast", own, to=g.types.BOOL))

    def remember(self, key: Value, value: Value, layer: int, heads: Heads) -> tuple[Value, Value]:
        return (
            self._remember(key, layer, "key", heads.keys, heads.width),
            self._remember(value, layer, "value", heads.keys, heads.value_width),
        )

    def _remember(self, states: Value, layer: int, kind: str, count: int, width: int) -> Value:
        g, name = self.graph, f"present.{layer}.{kind}"
        past = g.input(f"past_key_values.{layer}.{kind}", g.types.FLOAT, ["batch", count, "past", width])
        self.caches.append((name, ["batch", count, "total", width]))
        return g.op("Concat", past, states, axis=2, name=name)

    def attention(
        self, query: Value, key: Value, value: Value, mask: Value | None, *, heads: Heads, scale: float, name: str,
        softcap: float | None = None, sinks: str | None = None,
    ) -> Value:  # fmt: skip
        g = self.graph
        query = g.op("Mul", query, g.f32(scale))
        query = g.op("Reshape", query, g.i64([0, heads.keys, -1, heads.width]))
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self._capped(scores, softcap)
        masked = scores if mask is None else g.op("Add", scores, mask)
        weights = g.op("Softmax", masked, axis=-1)
        context = g.op("Reshape", g.op("MatMul", weights, value), g.i64([0, heads.queries, -1, heads.value_width]))
        if sinks is not None:  # what a further score in the softmax leaves to the others
            total = g.op("ReduceLogSumExp", masked, g.i64([-1]), keepdims=1)
            total = g.op("Reshape", total, g.i64([0, heads.queries, -1, 1]))
            sunk = g.op("Reshape", g.vector(sinks), g.i64([1, heads.queries, 1, 1]))
            context = g.op("Mul", context, g.op("Sigmoid", g.op("Sub", total, sunk)))
        return self._joined(context, heads)

    def attention_to_all(self, query: Value, key: Value, value: Value, *, heads: Heads, name: str) -> Value:
        g = self.graph
        query = g.op("Mul", self.heads_first(query), g.f32(heads.width**-0.5))
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 2, 3, 1]))
        value = self.heads_first(value)
        context = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)
        return self._joined(context, heads)

    def _joined(self, context: Value, heads: Heads) -> Value:
        """[batch, heads, n, width] -> [batch, n, heads * width]."""
        g = self.graph
        return g.op(
            "Reshape", g.op("Transpose", context, perm=[0, 2, 1, 3]), g.i64([0, 0, heads.queries * heads.value_width])
        )

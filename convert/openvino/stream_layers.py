"""The layers of `program.ops` in OpenVINO's opset, as optimum-intel's exporter shapes them.

The form follows what the runtime's fusions look for (stateful attention, grouped heads, RMS norm, rotary embedding): change it
only with tests/convert/openvino/test_stream.py at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..program.experts import Experts
from ..program.ops import Rotation
from ..program.reading import QUICK
from ..program.rope import Rope
from . import stream_experts
from .stream_attention import AttentionLayers
from .stream_ops import Node, Weights
from .stream_pictures import PictureLayers

ROTARY = "rotary/angles"
"""The product of frequencies and positions, which NNCF takes for a layer."""


def rotary_name(index: int) -> str:
    """Return the name of that product for the embedding of this number in the graph."""
    return f"{ROTARY}/{index}" if index else ROTARY


class Layers(AttentionLayers, PictureLayers):
    """`program.ops.Ops` over `Node`."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self._rotations = 0
        self._calls: dict[str, int] = {}

    # -- stored weights

    def embed(self, table: str, ids: Node) -> Node:
        ops = self.ops
        return ops.gather(self.weights(table), ops.convert(ids, np.int32), ops.constant(0, np.int32))

    def linear(self, hidden: Node, name: str, bias: bool) -> Node:
        times = self._calls[name] = self._calls.get(name, 0) + 1
        node = name if times == 1 else f"{name}/{times}"
        product = self.ops.matmul(hidden, self.weights(name + ".weight"), False, True, name=node)
        return self.ops.add(product, self.weights(name + ".bias")) if bias else product

    def linear_heads(self, hidden: Node, name: str, heads: int, width: int) -> Node:
        return self.heads(self.linear(hidden, name, True), heads, width)

    def logits(
        self, hidden: Node, weight: str, *, scale: float = 1.0, softcap: float | None = None, bias: str | None = None
    ) -> Node:
        product = self.ops.matmul(hidden, self.weights(weight), transpose_a=False, transpose_b=True, name="logits")
        product = self.add_stored(product, bias) if bias else product
        return self._capped(product if scale == 1.0 else self.scale(product, scale), softcap)

    def rms_norm(self, states: Node, name: str | None, eps: float, offset: float = 0.0) -> Node:
        ops = self.ops
        square = ops.power(states, ops.constant(2.0, np.float32))
        mean = ops.reduce_mean(square, self.i64([-1]), keep_dims=True)
        root = ops.sqrt(ops.add(mean, ops.constant(eps, np.float32)))
        normed = ops.multiply(states, ops.divide(ops.constant(1.0, np.float32), root))
        if name is None:
            return normed
        weight = self.weights(name + ".weight")
        if offset:
            # subtracted, as a zero point is: whoever reads weights out of graphs knows that form
            weight = ops.subtract(weight, ops.constant(-offset, np.float32))
        return ops.multiply(weight, normed)

    def layer_norm(self, states: Node, name: str, eps: float, *, bias: bool = True) -> Node:
        ops = self.ops
        normed = ops.mvn(states, self.i64([-1]), True, eps, "inside_sqrt")
        scaled = ops.multiply(normed, self.weights(f"{name}.weight"))
        return ops.add(scaled, self.weights(f"{name}.bias")) if bias else scaled

    # -- values

    def add(self, left: Node, right: Node, name: str | None = None) -> Node:
        return self.ops.add(left, right, name=name)

    def add_stored(self, states: Node, name: str) -> Node:
        return self.ops.add(states, self.weights(name))

    def multiply(self, left: Node, right: Node) -> Node:
        return self.ops.multiply(left, right)

    def multiply_stored(self, states: Node, name: str) -> Node:
        return self.ops.multiply(states, self.weights(name))

    def multiply_each(self, states: Node, name: str) -> Node:
        return self.ops.multiply(states, self.ops.reshape(self.weights(name), self.i64([-1, 1]), special_zero=False))

    def activate(self, states: Node, kind: str) -> Node:
        if kind == "silu":
            return self.ops.swish(states)
        if kind == QUICK:
            return self.ops.multiply(states, self.ops.sigmoid(self.scale(states, 1.702)))
        return self.ops.gelu(states, "tanh" if kind == "gelu_pytorch_tanh" else "erf")

    def sigmoid(self, states: Node) -> Node:
        return self.ops.sigmoid(states)

    def tanh(self, states: Node) -> Node:
        return self.ops.tanh(states)

    def divide(self, left: Node, right: Node) -> Node:
        return self.ops.divide(left, right)

    def magnitude(self, states: Node, least: float) -> Node:
        ops = self.ops
        mean = self._mean(ops.multiply(states, states))
        return ops.sqrt(ops.maximum(mean, ops.constant(least, np.float32)))

    def above(self, states: Node, deviations: float) -> Node:
        ops = self.ops
        off = ops.subtract(states, self._mean(states))
        deviation = ops.sqrt(self._mean(ops.multiply(off, off)))
        return ops.relu(ops.subtract(off, self.scale(deviation, deviations)))

    def _mean(self, states: Node) -> Node:
        return self.ops.reduce_mean(states, self.i64([-1]), keep_dims=True)

    def product(self, left: Node, right: Node) -> Node:
        return self.ops.matmul(left, right, False, False)

    def experts(self, hidden: Node, prefix: str, experts: Experts, activation: str) -> Node:
        return stream_experts.experts(self, hidden, prefix, experts, activation)

    def halves(self, states: Node) -> Sequence[Node]:
        return list(self.ops.split(states, self.i64(-1), 2).outputs())

    def split(self, states: Node, sizes: Sequence[int]) -> Sequence[Node]:
        return list(self.ops.variadic_split(states, self.i64(-1), self.i64(sizes)).outputs())

    def joined(self, parts: Sequence[Node]) -> Node:
        return self.ops.concat(list(parts), -1)

    def heads(self, states: Node, count: int, width: int) -> Node:
        return self.ops.reshape(states, self.i64([0, 0, count, width]), special_zero=True)

    def flat(self, states: Node, width: int) -> Node:
        return self.ops.reshape(states, self.i64([0, 0, width]), special_zero=True)

    def heads_first(self, states: Node) -> Node:
        return self.swap(states)

    # -- rotary embedding

    def rotation(self, positions: Node, rope: Rope) -> Rotation[Node]:
        """Cosine and sine are [batch, 1, n, dim]."""
        ops = self.ops
        frequencies = ops.constant(rope.inverse_frequencies()[None, :, None], np.float32)
        if rope.switch:
            last = ops.reduce_max(positions, self.i64([0, 1]), keep_dims=False)
            long = ops.constant(rope.long_frequencies()[None, :, None], np.float32)
            frequencies = ops.select(ops.greater_equal(last, self.i64(rope.switch)), long, frequencies)
        if rope.sections:
            chosen = ops.gather(positions, self.i64(rope.axes()), self.i64(0))
            steps = ops.convert(ops.transpose(chosen, ops.constant([1, 0, 2], np.int32)), np.float32)
            product = ops.multiply(frequencies, steps, name=rotary_name(self._rotations))
        else:
            steps = ops.convert(ops.unsqueeze(positions, self.i64(1)), np.float32)
            product = ops.matmul(frequencies, steps, False, False, name=rotary_name(self._rotations))
        self._rotations += 1
        return self._by(ops.transpose(product, ops.constant([0, 2, 1], np.int32)), rope)

    def turned_by(self, angles: Node, rope: Rope) -> Rotation[Node]:
        return self._by(self.ops.unsqueeze(angles, self.i64(0)), rope)

    def _by(self, angles: Node, rope: Rope) -> Rotation[Node]:
        """Return the rotation by angles [batch, n, dim / 2]."""
        ops = self.ops
        angles = self._twice(angles, rope.dim) if rope.interleaved else ops.concat([angles, angles], -1)
        cos, sin = (ops.unsqueeze(turn(angles), self.i64(1)) for turn in (ops.cos, ops.sin))
        if rope.attention_factor != 1.0:
            cos, sin = (self.scale(one, rope.attention_factor) for one in (cos, sin))
        return Rotation(cos, sin, rope)

    def _twice(self, angles: Node, dim: int) -> Node:
        """[batch, n, dim / 2] -> [batch, n, dim], every value twice in a row."""
        twice = self.ops.unsqueeze(angles, self.i64(-1))
        return self.ops.reshape(self.ops.concat([twice, twice], -1), self.i64([0, 0, dim]), special_zero=True)

    def growth(self, positions: Node, beta: float, step: float) -> Node:
        ops = self.ops
        steps = ops.convert(ops.unsqueeze(positions, self.i64([1, 3])), np.float32)
        one = ops.constant(1.0, np.float32)
        grown = ops.log(ops.add(one, ops.floor(ops.divide(steps, ops.constant(step, np.float32)))))
        return ops.add(one, self.scale(grown, beta))

    def rotate(self, states: Node, rotation: Rotation[Node], width: int) -> Node:
        ops, rope = self.ops, rotation.rope
        rest = None
        if rope.dim < width:
            states, rest = self.split(states, [rope.dim, width - rope.dim])
        turned = self._quarter_turn(states, rope)
        rotated = ops.add(ops.multiply(states, rotation.cos), ops.multiply(turned, rotation.sin))
        return rotated if rest is None else ops.concat([rotated, rest], -1)

    def _quarter_turn(self, states: Node, rope: Rope) -> Node:
        """(x, y) -> (-y, x) for every pair."""
        ops, half = self.ops, rope.dim // 2
        last = self.i64([3])
        if rope.interleaved:
            end, step = self.i64([2**63 - 1]), self.i64([2])
            x, y = (ops.slice(states, self.i64([i]), end, step, last) for i in (0, 1))
            pair = ops.concat([ops.unsqueeze(self.negative(y), self.i64(-1)), ops.unsqueeze(x, self.i64(-1))], -1)
            return ops.reshape(pair, self.i64([0, 0, 0, rope.dim]), special_zero=True)
        step = self.i64([1])
        x = ops.slice(states, self.i64([0]), self.i64([half]), step, last)
        y = ops.slice(states, self.i64([half]), self.i64([2**63 - 1]), step, last)
        return ops.concat([self.negative(y), x], -1)

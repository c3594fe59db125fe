"""The layers of `program.picture_ops` as ONNX nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .ops import Graph, Value
from .whole import MASKED


class PictureLayers:
    """Those layers; the nodes go to `graph`."""

    graph: Graph

    def convolution(self, states: Value, name: str, step: int, *, bias: bool = True) -> Value:
        """As `PictureOps` says."""
        return self.graph.convolution(states, name, step, bias=bias)

    def flat_linear(self, hidden: Value, name: str, bias: bool) -> Value:
        """As `PictureOps` says."""
        g = self.graph
        matrix = g.op("Transpose", g.op("Flatten", g.kernel(f"{name}.weight"), axis=1), perm=[1, 0])
        product = g.op("MatMul", hidden, matrix)
        return g.op("Add", product, g.vector(f"{name}.bias")) if bias else product

    def stored(self, name: str) -> Value:
        """As `PictureOps` says."""
        return self.graph.vector(name)

    def reshape(self, states: Value, shape: Sequence[int]) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Reshape", states, self.graph.i64(list(shape)))

    def transpose(self, states: Value, order: Sequence[int]) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Transpose", states, perm=list(order))

    def unsqueezed(self, states: Value, axes: Sequence[int]) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Unsqueeze", states, self.graph.i64(list(axes)))

    def taken(self, states: Value, index: Value, axis: int) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Gather", states, index, axis=axis)

    def slices(self, states: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """As `PictureOps` says."""
        g = self.graph
        return g.op("Slice", states, g.i64([start]), g.i64([stop]), g.i64([axis]), g.i64([step]))

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Concat", *parts, axis=axis)

    def pooled(self, grid: Value, size: int) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("AveragePool", grid, kernel_shape=[size, size], strides=[size, size])

    def in_front(self, name: str, rows: Value, width: int, start: Value) -> Value:
        """As `PictureOps` says."""
        batch = self.graph.op("Shape", start, start=0, end=1)
        return self.graph.op("Concat", self.mark(name, width, batch), rows, axis=1)

    def between(self, first: str, rows: Value, last: str, width: int, start: Value) -> Value:
        """As `PictureOps` says."""
        batch = self.graph.op("Shape", start, start=0, end=1)
        marks = [self.mark(name, width, batch) for name in (first, last)]
        return self.graph.op("Concat", marks[0], rows, marks[1], axis=1)

    def mark(self, name: str, width: int, batch: Value) -> Value:
        """Repeat a stored row for each of a batch, [n, 1, width]."""
        shape = self.graph.op("Concat", batch, self.graph.i64([1, width]), axis=0)
        return self.graph.op("Expand", self.graph.vector(name), shape)

    def rows_of(self, grid: Value, width: int) -> Value:
        """As `PictureOps` says."""
        g = self.graph
        return g.op("Transpose", g.op("Reshape", grid, g.i64([0, width, -1])), perm=[0, 2, 1])

    def grid_of(self, rows: Value, width: int, side: int) -> Value:
        """As `PictureOps` says."""
        g = self.graph
        return g.op("Reshape", g.op("Transpose", rows, perm=[0, 2, 1]), g.i64([0, width, side, side]))

    # -- arithmetic on numbers

    def count(self, states: Value) -> Value:
        """As `PictureOps` says."""
        g = self.graph
        return g.op("Range", g.i64(0), g.op("Squeeze", g.op("Shape", states, start=0, end=1)), g.i64(1))

    def whole(self, values: Any) -> Value:
        """As `PictureOps` says."""
        return self.graph.i64(values)

    def floats(self, values: Any) -> Value:
        """As `PictureOps` says."""
        return self.graph.f32(values)

    def most(self, left: Value, right: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Max", left, right)

    def least(self, left: Value, right: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Min", left, right)

    def truncated(self, values: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Cast", values, to=self.graph.types.INT64)

    def inverse(self, order: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("ScatterElements", order, order, self.count(order), axis=0)

    def flags(self, truths: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Cast", truths, to=self.graph.types.INT64)

    def real(self, numbers: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.float32(numbers)

    def minus(self, left: Value, right: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Sub", left, right)

    def quotient(self, left: Value, right: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Div", left, right)

    def rest(self, left: Value, right: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("Mod", left, right)

    def sums(self, numbers: Value) -> Value:
        """As `PictureOps` says."""
        return self.graph.op("CumSum", numbers, self.graph.i64(0))

    def passed(self, numbers: Value, ends: Value) -> Value:
        """As `PictureOps` says."""
        g = self.graph
        reached = g.op("GreaterOrEqual", g.op("Unsqueeze", numbers, g.i64([1])), g.op("Unsqueeze", ends, g.i64([0])))
        return g.op("ReduceSum", g.op("Cast", reached, to=g.types.INT64), g.i64([1]), keepdims=0)

    def only_same(self, groups: Value) -> Value:
        """As `PictureOps` says."""
        g = self.graph
        own, other = (g.op("Unsqueeze", groups, g.i64([0, 1, axis])) for axis in (3, 2))
        return g.op("Where", g.op("Equal", own, other), g.f32(0), g.f32(MASKED))

    # -- pictures among words

    def runs(self, kinds: Value) -> Value:
        """As `Ops` says."""
        g = self.graph
        here = g.op("Cast", g.op("Cast", kinds, to=g.types.BOOL), to=g.types.INT64)
        nothing = g.op("Mul", self.slices(here, 1, 0, 1), g.i64(0))
        before = g.op("Concat", nothing, self.slices(here, 1, 0, -1), axis=1)
        begins = g.op("Mul", here, g.op("Sub", g.i64(1), before))
        return g.op("Mul", g.op("CumSum", begins, g.i64(1)), here)

    def numbered(self, places: Value, states: Value) -> Value:
        """As `Ops` says."""
        g = self.graph
        here = g.op("Cast", places, to=g.types.INT64)
        flat = g.op("Reshape", here, g.i64([-1]))
        counted = g.op("Mul", g.op("CumSum", flat, g.i64(0)), flat)
        return g.op("Reshape", counted, g.op("Shape", states, start=0, end=2))

    def rows_at(self, stacks: Value, index: int, numbers: Value) -> Value:
        """As `Ops` says."""
        g = self.graph
        rows = g.op("Gather", stacks, g.i64(index), axis=0)
        shape = g.op("Concat", g.i64([1]), g.op("Shape", rows, start=1, end=2), axis=0)
        nothing = g.op("Expand", g.constant(0, np.float32), shape)
        return g.op("Gather", g.op("Concat", nothing, rows, axis=0), numbers, axis=0)

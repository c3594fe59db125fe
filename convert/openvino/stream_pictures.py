"""The layers of `program.picture_ops` in OpenVINO's opset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .stream_ops import Node, Operations

_END = 2**63 - 1
MASKED = np.float32(-65504.0)


class PictureLayers(Operations):
    """Those layers."""

    def convolution(self, states: Node, name: str, step: int, *, bias: bool = True) -> Node:
        """As `PictureOps` says."""
        ops = self.ops
        kernel = self.weights(f"{name}.weight")
        product = ops.convolution(states, kernel, [step, step], [0, 0], [0, 0], [1, 1], name=name)
        if not bias:
            return product
        added = ops.reshape(self.weights(f"{name}.bias"), self.i64([1, -1, 1, 1]), special_zero=False)
        return ops.add(product, added)

    def flat_linear(self, hidden: Node, name: str, bias: bool) -> Node:
        """As `PictureOps` says."""
        kernel = self.weights(f"{name}.weight")
        matrix = self.ops.reshape(kernel, self.i64([0, -1]), special_zero=True)
        product = self.ops.matmul(hidden, matrix, False, True, name=name)
        return self.ops.add(product, self.weights(f"{name}.bias")) if bias else product

    def stored(self, name: str) -> Node:
        """As `PictureOps` says."""
        return self.weights(name)

    def reshape(self, states: Node, shape: Sequence[int]) -> Node:
        """As `PictureOps` says."""
        return self.ops.reshape(states, self.i64(list(shape)), special_zero=True)

    def transpose(self, states: Node, order: Sequence[int]) -> Node:
        """As `PictureOps` says."""
        return self.ops.transpose(states, self.ops.constant(list(order), np.int32))

    def unsqueezed(self, states: Node, axes: Sequence[int]) -> Node:
        """As `PictureOps` says."""
        return self.ops.unsqueeze(states, self.i64(list(axes)))

    def taken(self, states: Node, index: Node, axis: int) -> Node:
        """As `PictureOps` says."""
        return self.ops.gather(states, index, self.i64(axis))

    def slices(self, states: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
        """As `PictureOps` says."""
        return self.ops.slice(states, self.i64([start]), self.i64([stop]), self.i64([step]), self.i64([axis]))

    def concat(self, parts: Sequence[Node], axis: int) -> Node:
        """As `PictureOps` says."""
        return self.ops.concat(list(parts), axis)

    def pooled(self, grid: Node, size: int) -> Node:
        """As `PictureOps` says."""
        sizes = [size, size]
        return self.ops.avg_pool(grid, sizes, [0, 0], [0, 0], sizes, True)

    def in_front(self, name: str, rows: Node, width: int, start: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.concat([self.mark(name, width, self.batch_of(start)), rows], 1)

    def between(self, first: str, rows: Node, last: str, width: int, start: Node) -> Node:
        """As `PictureOps` says."""
        batch = self.batch_of(start)
        return self.ops.concat([self.mark(first, width, batch), rows, self.mark(last, width, batch)], 1)

    def mark(self, name: str, width: int, batch: Node) -> Node:
        """Repeat a stored row for each of a batch, [n, 1, width]."""
        shape = self.ops.concat([batch, self.i64([1]), self.i64([width])], 0)
        return self.ops.broadcast(self.weights(name), shape)

    def rows_of(self, grid: Node, width: int) -> Node:
        """As `PictureOps` says."""
        flat = self.ops.reshape(grid, self.i64([0, width, -1]), special_zero=True)
        return self.ops.transpose(flat, self.ops.constant([0, 2, 1], np.int32))

    def grid_of(self, rows: Node, width: int, side: int) -> Node:
        """As `PictureOps` says."""
        grid = self.ops.transpose(rows, self.ops.constant([0, 2, 1], np.int32))
        return self.ops.reshape(grid, self.i64([0, width, side, side]), special_zero=True)

    # -- arithmetic on numbers

    def count(self, states: Node) -> Node:
        """As `PictureOps` says."""
        length = self.ops.gather(self.ops.shape_of(states), self.i64(0), self.i64(0))
        return self.ops.range(self.i64(0), length, self.i64(1), "i64")

    def whole(self, values: Any) -> Node:
        """As `PictureOps` says."""
        return self.i64(values)

    def floats(self, values: Any) -> Node:
        """As `PictureOps` says."""
        return self.ops.constant(values, np.float32)

    def most(self, left: Node, right: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.maximum(left, right)

    def least(self, left: Node, right: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.minimum(left, right)

    def truncated(self, values: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.convert(values, np.int64)

    def inverse(self, order: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.scatter_elements_update(order, order, self.count(order), self.i64(0))

    def flags(self, truths: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.convert(truths, np.int64)

    def real(self, numbers: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.convert(numbers, np.float32)

    def minus(self, left: Node, right: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.subtract(left, right)

    def quotient(self, left: Node, right: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.divide(left, right)

    def rest(self, left: Node, right: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.mod(left, right)

    def sums(self, numbers: Node) -> Node:
        """As `PictureOps` says."""
        return self.ops.cum_sum(numbers, self.i64(0))

    def passed(self, numbers: Node, ends: Node) -> Node:
        """As `PictureOps` says."""
        ops = self.ops
        reached = ops.greater_equal(ops.unsqueeze(numbers, self.i64(1)), ops.unsqueeze(ends, self.i64(0)))
        return ops.reduce_sum(ops.convert(reached, np.int64), self.i64([1]), keep_dims=False)

    def only_same(self, groups: Node) -> Node:
        """As `PictureOps` says."""
        ops = self.ops
        same = ops.equal(ops.unsqueeze(groups, self.i64([0, 1, 3])), ops.unsqueeze(groups, self.i64([0, 1, 2])))
        return ops.select(same, ops.constant(0.0, np.float32), ops.constant(MASKED, np.float32))

    # -- pictures among words

    def runs(self, kinds: Node) -> Node:
        """As `Ops` says."""
        ops = self.ops
        here = ops.convert(ops.not_equal(kinds, self.i64(0)), np.int64)
        before = ops.concat([self.slices(self._zeros_like(here), 1, 0, 1), self.slices(here, 1, 0, -1)], 1)
        begins = ops.multiply(here, ops.subtract(self.i64(1), before))
        return ops.multiply(ops.cum_sum(begins, self.i64(1)), here)

    def numbered(self, places: Node, states: Node) -> Node:
        """As `Ops` says: openvino_genai's paged attention turns batch and positions of states around, not those of places."""
        ops = self.ops
        here = ops.convert(places, np.int64)
        flat = ops.reshape(here, self.i64([-1]), special_zero=False)
        counted = ops.multiply(ops.cum_sum(flat, self.i64(0)), flat)
        both = ops.gather(ops.shape_of(states), self.i64([0, 1]), self.i64(0))
        return ops.reshape(counted, both, special_zero=False)

    def rows_at(self, stacks: Node, index: int, numbers: Node) -> Node:
        """As `Ops` says."""
        ops = self.ops
        rows = ops.gather(stacks, self.i64(index), self.i64(0))
        width = ops.gather(ops.shape_of(rows), self.i64([1]), self.i64(0))
        nothing = ops.broadcast(ops.constant(0.0, np.float32), ops.concat([self.i64([1]), width], 0))
        return ops.gather(ops.concat([nothing, rows], 0), numbers, self.i64(0))

    def _zeros_like(self, numbers: Node) -> Node:
        return self.ops.multiply(numbers, self.i64(0))

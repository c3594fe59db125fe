"""The layers of `program.ops` that look at a whole text at once, as encoders do, in OpenVINO's opset."""

from __future__ import annotations

import numpy as np

from .stream_ops import Node
from .stream_states import StateLayers

MASKED = np.float32(-65504.0)
"""What a masked position gets: float16's lowest, as in optimum's graphs."""


class WholeLayers(StateLayers):
    """Those layers."""

    def rows(self, table: str, ids: Node) -> Node:
        """As `Ops` says; the node has the table's name, by which NNCF leaves it as it is."""
        ops = self.ops
        return ops.gather(self.weights(table), ops.convert(ids, np.int32), ops.constant(0, np.int32), name=table)

    def places(self, ids: Node) -> Node:
        """As `Ops` says."""
        return self.ops.unsqueeze(self._steps(ids), self.i64(0))

    def counted(self, ids: Node, pad: int) -> Node:
        """As `Ops` says."""
        ops = self.ops
        real = ops.convert(ops.not_equal(ids, self.i64(pad)), np.int64)
        return ops.add(ops.multiply(ops.cum_sum(real, self.i64(1)), real), self.i64(pad))

    def sight(self, ids: Node, attention_mask: Node, reach: int | None = None, groups: int = 1) -> Node:
        """float32 [batch, 1, 1 or n, n]: 0 where a position may look, else float16's lowest."""
        ops = self.ops
        seen = ops.unsqueeze(ops.not_equal(attention_mask, self.i64(0)), self.i64([1, 2]))
        if reach is not None:
            steps = self._steps(ids)
            apart = ops.abs(ops.subtract(ops.unsqueeze(steps, self.i64(1)), ops.unsqueeze(steps, self.i64(0))))
            near = ops.unsqueeze(ops.less_equal(apart, self.i64(reach)), self.i64([0, 1]))
            seen = ops.logical_and(seen, near)
        return ops.select(seen, ops.constant(0.0, np.float32), ops.constant(MASKED, np.float32))

    def first(self, states: Node) -> Node:
        """As `Ops` says."""
        return self.ops.gather(states, self.i64(0), self.i64(1))

    def mean(self, states: Node, attention_mask: Node) -> Node:
        """As `Ops` says."""
        ops = self.ops
        kept = ops.convert(ops.unsqueeze(attention_mask, self.i64(2)), np.float32)
        total = ops.reduce_sum(ops.multiply(states, kept), self.i64([1]), keep_dims=False)
        return ops.divide(total, ops.reduce_sum(kept, self.i64([1]), keep_dims=False))

    def _steps(self, ids: Node) -> Node:
        """Count the positions of ids [batch, n]: int64 [n]."""
        count = self.ops.gather(self.ops.shape_of(ids), self.i64(1), self.i64(0))
        return self.ops.range(self.i64(0), count, self.i64(1), "i64")

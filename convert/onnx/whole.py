"""The layers of `program.ops` that look at a whole text at once, as encoders do, as ONNX nodes."""

from __future__ import annotations

from .ops import Graph, Value

MASKED = -65504.0
"""What a masked position gets: float16's lowest, as in the IR."""


class WholeLayers:
    """Those layers; the nodes go to `graph`."""

    graph: Graph

    def rows(self, table: str, ids: Value) -> Value:
        """As `Ops` says."""
        return self.graph.lookup(table, ids)

    def places(self, ids: Value) -> Value:
        """As `Ops` says."""
        return self.graph.op("Unsqueeze", self._steps(ids), self.graph.i64([0]))

    def counted(self, ids: Value, pad: int) -> Value:
        """As `Ops` says."""
        g = self.graph
        real = g.op("Cast", g.op("Not", g.op("Equal", ids, g.i64(pad))), to=g.types.INT64)
        return g.op("Add", g.op("Mul", g.op("CumSum", real, g.i64(1)), real), g.i64(pad))

    def sight(self, ids: Value, attention_mask: Value, reach: int | None = None, groups: int = 1) -> Value:
        """float32 [batch, 1, 1 or groups * n, n]: 0 where a position may look, else float16's lowest."""
        g = self.graph
        seen = g.op("Unsqueeze", g.op("Cast", attention_mask, to=g.types.BOOL), g.i64([1, 2]))
        if reach is not None:
            steps = self._steps(ids)
            apart = g.op("Abs", g.op("Sub", g.op("Unsqueeze", steps, g.i64([1])), g.op("Unsqueeze", steps, g.i64([0]))))
            near = g.op("Unsqueeze", g.op("LessOrEqual", apart, g.i64(reach)), g.i64([0, 1]))
            seen = g.op("And", seen, near)
        mask = g.op("Where", seen, g.f32(0), g.f32(MASKED))
        return mask if groups == 1 or reach is None else g.op("Tile", mask, g.i64([1, 1, groups, 1]))

    def first(self, states: Value) -> Value:
        """As `Ops` says."""
        return self.graph.op("Gather", states, self.graph.i64(0), axis=1)

    def mean(self, states: Value, attention_mask: Value) -> Value:
        """As `Ops` says."""
        g = self.graph
        kept = g.float32(g.op("Unsqueeze", attention_mask, g.i64([2])))
        total = g.op("ReduceSum", g.op("Mul", states, kept), g.i64([1]), keepdims=0)
        return g.op("Div", total, g.op("ReduceSum", kept, g.i64([1]), keepdims=0))

    def _steps(self, ids: Value) -> Value:
        """Count the positions of ids [batch, n]: int64 [n]."""
        g = self.graph
        count = g.op("Squeeze", g.op("Shape", ids, start=1, end=2))
        return g.op("Range", g.i64(0), count, g.i64(1))

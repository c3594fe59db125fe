"""The layers of `program.ops` that keep a state, as ONNX nodes: inputs and outputs, and onnxruntime's LinearAttention.

That operator's "gated" rule is the selective scan's; a key may serve several heads that lie side by side.
"""

from __future__ import annotations

from ..program.ops import NO_LIMITS, UNIT_EPSILON, State
from . import names
from .ops import MICROSOFT, Graph, Value


class StateLayers:
    """Those layers, and what all need that keep something.

    Attributes:
        graph: the graph under construction.
        caches: names and shapes of the outputs that continue caches.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.caches: list[tuple[str, list[int | str]]] = []

    def heads(self, states: Value, count: int, width: int) -> Value:
        """[batch, n, count * width] -> [batch, n, count, width]."""
        return self.graph.op("Reshape", states, self.graph.i64([0, 0, count, width]))

    def flat(self, states: Value, width: int) -> Value:
        """[batch, n, heads, width of a head] -> [batch, n, width]."""
        return self.graph.op("Reshape", states, self.graph.i64([0, 0, width]))

    def kept(self, start: Value, attention_mask: Value) -> Value:
        """As `Ops` says."""
        g = self.graph
        first = g.op("Neg", g.op("Shape", start, start=1, end=2))
        last = g.op("Slice", attention_mask, first, g.i64([2**63 - 1]), g.i64([1]))
        return g.float32(g.op("Unsqueeze", last, g.i64([2])))

    def causal_convolution(self, states: Value, name: str, state: State, bias: bool) -> Value:
        """As `Ops` says."""
        g, (channels, taps) = self.graph, state.shape
        whole = g.op("Concat", self._past(state), g.op("Transpose", states, perm=[0, 2, 1]), axis=2)
        end, last = g.i64([2**63 - 1]), g.i64([2])
        self._keep(g.op("Slice", whole, g.i64([-taps]), end, last, name=names.present(state)), state)
        read = g.op("Slice", whole, g.i64([1]), end, last)
        return g.op("Transpose", g.depthwise(read, name, channels, bias), perm=[0, 2, 1])

    def steps(self, states: Value, bias: str, limits: tuple[float, float] | None = None) -> Value:
        """As `Ops` says."""
        g = self.graph
        steps = g.op("Softplus", g.op("Add", states, g.vector(bias)))
        if limits is None or limits == NO_LIMITS:
            return steps
        return g.op("Clip", steps, *map(g.f32, limits))

    def decay(self, steps: Value, rate: str) -> Value:
        """As `Ops` says."""
        g = self.graph
        return g.op("Mul", g.op("Neg", g.op("Exp", g.vector(rate))), steps)

    def scan(self, query: Value, key: Value, value: Value, *, decay: Value, state: State, keys: int) -> Value:
        """As `Ops` says."""
        g, (heads, width, out) = self.graph, state.shape
        query, key = (self.flat(one, keys * width) for one in (query, key))
        made, kept = g.ops(
            "LinearAttention", [query, key, self.flat(value, heads * out), self._past(state), decay], 2, domain=MICROSOFT,
            update_rule="gated", q_num_heads=keys, kv_num_heads=heads, scale=1.0,
        )  # fmt: skip
        self._keep(g.op("Identity", kept, name=names.present(state)), state)
        return self.heads(made, heads, out)

    def delta_rule(
        self, query: Value, key: Value, value: Value, *, decay: Value, beta: Value, state: State, keys: int
    ) -> Value:
        """As `Ops` says."""
        g, (heads, width, out) = self.graph, state.shape
        query, key = (
            self.flat(self._served(self._unit(one), keys, heads, width), heads * width) for one in (query, key)
        )
        value, past = self.flat(value, heads * out), self._past(state)
        made, kept = g.ops(
            "LinearAttention", [query, key, value, past, decay, beta], 2, domain=MICROSOFT, update_rule="gated_delta",
            q_num_heads=heads, kv_num_heads=heads, scale=width**-0.5,
        )  # fmt: skip
        self._keep(g.op("Identity", kept, name=names.present(state)), state)
        return self.heads(made, heads, out)

    def _served(self, states: Value, keys: int, heads: int, width: int) -> Value:
        """Give every head of the state its query or key: [batch, n, heads, width]."""
        g = self.graph
        if keys == heads:
            return states
        wide = g.op("Tile", g.op("Unsqueeze", states, g.i64([3])), g.i64([1, 1, 1, heads // keys, 1]))
        return g.op("Reshape", wide, g.i64([0, 0, heads, width]))

    def _unit(self, states: Value) -> Value:
        """Divide the last dimension by its Euclidean length."""
        g = self.graph
        length = g.op("ReduceSum", g.op("Mul", states, states), g.i64([-1]), keepdims=1)
        return g.op("Div", states, g.op("Sqrt", g.op("Add", length, g.f32(UNIT_EPSILON))))

    def _past(self, state: State) -> Value:
        """Add the input of what a layer kept."""
        return self.graph.input(names.past(state), self.graph.types.FLOAT, ["batch", *state.shape])

    def _keep(self, value: Value, state: State) -> None:
        self.caches.append((value, ["batch", *state.shape]))

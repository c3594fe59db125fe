"""The layers of `program.ops` that keep a state, in OpenVINO's opset: variables, written and read for each call.

The forms are those that the runtime's fusions and its paged attention look for (docs/decisions/0027-states.md).
"""

from __future__ import annotations

import numpy as np

from ..program.ops import NO_LIMITS, UNIT_EPSILON, State
from . import delta_rule, scan
from .stream_ops import Node, Operations, Weights

_KINDS = {"conv": "conv", "recurrent": "ssm"}


def _variable(state: State) -> str:
    """Name a state's variable as optimum-intel does; the runtime's paged attention knows convolutions by ".past.conv."."""
    kind, layer = _KINDS[state.kind], state.layer
    return f"cache_params.past.{kind}.{layer}cache_params.present.{kind}.{layer}"


class StateLayers(Operations):
    """Those layers, and what all need that keep something.

    Attributes:
        batch: size of the batch, int64 [1]; set before a cache is declared.
        beam: which row of the cache each row goes on from, int32 [batch]; set likewise.
        sinks: the nodes that write caches.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.sinks: list[Node] = []
        self.batch: Node = None
        self.beam: Node = None

    def kept(self, start: Node, attention_mask: Node) -> Node:
        """Multiplied by 1 and added to 0, which is the form that the runtime's paged attention takes out again."""
        ops = self.ops
        new = ops.gather(ops.shape_of(start), self.i64([1]), self.i64(0))
        first = ops.subtract(self.i64([0]), new)
        last = ops.slice(attention_mask, first, self.i64([2**63 - 1]), self.i64([1]), self.i64([1]))
        kept = ops.convert(ops.unsqueeze(last, self.i64(2)), np.float32)
        return ops.add(self.scale(kept, 1.0), ops.constant(0.0, np.float32))

    def causal_convolution(self, states: Node, name: str, state: State, bias: bool) -> Node:
        """As `Ops` says."""
        ops, (channels, taps) = self.ops, state.shape
        turned = ops.transpose(states, ops.constant([0, 2, 1], np.int32))
        whole = ops.concat([self._past(state), turned], -1)
        end, step, last = self.i64([2**63 - 1]), self.i64([1]), self.i64([2])
        self._keep(ops.slice(whole, self.i64([-taps]), end, step, last), state)
        kernel = ops.reshape(self.weights(f"{name}.weight"), self.i64([channels, 1, 1, taps]), special_zero=False)
        made = ops.group_convolution(whole, kernel, [1], [0], [0], [1], name=name)
        made = ops.transpose(ops.slice(made, self.i64([1]), end, step, last), ops.constant([0, 2, 1], np.int32))
        return ops.add(made, self.weights(f"{name}.bias")) if bias else made

    def steps(self, states: Node, bias: str, limits: tuple[float, float] | None = None) -> Node:
        """As `Ops` says."""
        ops = self.ops
        steps = ops.softplus(ops.add(states, self.weights(bias)))
        if limits is None or limits == NO_LIMITS:
            return steps
        return ops.clamp(steps, *limits)

    def decay(self, steps: Node, rate: str) -> Node:
        """As `Ops` says."""
        ops = self.ops
        return ops.multiply(self.negative(ops.exp(self.weights(rate))), steps)

    def scan(self, query: Node, key: Node, value: Node, *, decay: Node, state: State, keys: int) -> Node:
        """As `Ops` says."""
        made, kept = scan.loop(self.ops, [query, key, value, decay], self._past(state), state, keys)
        self._keep(kept, state)
        return made

    def delta_rule(
        self, query: Node, key: Node, value: Node, *, decay: Node, beta: Node, state: State, keys: int
    ) -> Node:
        """As `Ops` says."""
        ops = self.ops
        query, key = (self.swap(self._unit(self._served(one, keys, state))) for one in (query, key))
        width = ops.convert(ops.gather(ops.shape_of(query), self.i64(3), self.i64(0)), np.float32)
        query = ops.divide(query, ops.power(width, ops.constant(0.5, np.float32)))
        decay, beta = (ops.transpose(one, ops.constant([0, 2, 1], np.int32)) for one in (decay, beta))
        made, kept = delta_rule.loop(ops, [query, key, self.swap(value), decay, beta], self._past(state))
        self._keep(kept, state)
        return self.swap(made)

    def _served(self, states: Node, keys: int, state: State) -> Node:
        """Give every head of the state its query or key: [batch, n, heads, width]."""
        ops, (heads, width, _) = self.ops, state.shape
        if keys == heads:
            return states
        wide = ops.tile(ops.unsqueeze(states, self.i64(3)), self.i64([1, 1, 1, heads // keys, 1]))
        return ops.reshape(wide, self.i64([0, 0, heads, width]), special_zero=True)

    def _unit(self, states: Node) -> Node:
        """Divide the last dimension by its Euclidean length."""
        ops = self.ops
        length = ops.reduce_sum(ops.multiply(states, states), self.i64([-1]), keep_dims=True)
        root = ops.sqrt(ops.add(length, ops.constant(UNIT_EPSILON, np.float32)))
        return ops.multiply(states, ops.divide(ops.constant(1.0, np.float32), root))

    def _past(self, state: State) -> Node:
        """Read what a layer kept, of the row that each row goes on from."""
        import openvino as ov

        ops, name = self.ops, _variable(state)
        sizes = self.i64(list(state.shape))
        empty = ops.broadcast(ops.constant(0.0, np.float32), ops.concat([self.batch, sizes], 0))
        shape = ov.PartialShape([-1, *state.shape])
        past = ops.read_value(empty, name, np.float32, shape, name=f"{state.kind}.{state.layer}.read")
        return ops.gather(past, self.beam, self.i64(0))

    def _keep(self, value: Node, state: State) -> None:
        self.sinks.append(self.ops.assign(value, _variable(state), name=f"{state.kind}.{state.layer}.assign"))

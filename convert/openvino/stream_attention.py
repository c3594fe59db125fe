"""Attention in OpenVINO's opset: masks, caches and scores, in the forms that the runtimes' fusions know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..program.ops import Heads
from .stream_ops import Node
from .stream_whole import MASKED, WholeLayers


class AttentionLayers(WholeLayers):
    """Those layers."""

    def mask(
        self, start: Node, attention_mask: Node, groups: int, window: int | None = None, together: Node | None = None
    ) -> Node:
        """float32 [batch, 1, n, past + n]: 0 where a position may look, else float16's lowest."""
        ops = self.ops
        new = ops.gather(ops.shape_of(start), self.i64(1), self.i64(0))
        total = ops.gather(ops.shape_of(attention_mask), self.i64(1), self.i64(0))
        zero, one = self.i64(0), self.i64(1)
        columns = ops.range(zero, total, one, "i64")
        rows = ops.unsqueeze(ops.range(ops.subtract(total, new), total, one, "i64"), self.i64(1))
        causal = ops.less_equal(columns, rows)
        near = None if window is None else ops.greater(columns, ops.add(rows, self.i64(-window)))
        causal = causal if near else ops.unsqueeze(causal, self.i64([0, 1]))
        kept = ops.unsqueeze(ops.not_equal(attention_mask, zero), self.i64([1, 2]))
        if together is not None:
            causal = ops.logical_and(causal, ops.unsqueeze(near, self.i64([0, 1]))) if near else causal
            causal = ops.logical_or(causal, self._of_one(together, total, new))
        elif near:
            return self._windowed(near, causal, kept)
        seen = ops.logical_and(causal, kept)
        return ops.select(seen, ops.constant(0.0, np.float32), ops.constant(MASKED, np.float32))

    def _of_one(self, groups: Node, total: Node, new: Node) -> Node:
        """Say which new positions are of one group, bool [batch, 1, n, past + n]; those of the cache are of none."""
        ops = self.ops
        past = ops.unsqueeze(ops.subtract(total, new), self.i64(0))
        nothing = ops.broadcast(self.i64(0), ops.concat([self.batch_of(groups), past], 0))
        all_ = ops.unsqueeze(ops.concat([nothing, groups], 1), self.i64([1, 2]))
        own = ops.unsqueeze(groups, self.i64([1, 3]))
        return ops.logical_and(ops.equal(own, all_), ops.not_equal(own, self.i64(0)))

    def _windowed(self, near: Node, causal: Node, kept: Node) -> Node:
        """Write a window's mask as transformers' graphs have it: four times And, Broadcast, Select, Slice.

        openvino_genai gives each attention to the runtime's paged one, which takes no mask but a width, and knows that from this
        form alone (`gpt_oss_sliding_window_pattern`); of another it would look at everything, without a word.
        """
        ops, yes = self.ops, self.ops.constant(True, bool)
        seen = ops.bitwise_and(ops.bitwise_and(yes, near), causal)
        seen = ops.bitwise_and(ops.bitwise_and(yes, seen), kept)
        every = ops.broadcast(seen, ops.shape_of(seen))
        mask = ops.select(every, ops.constant(0.0, np.float32), ops.constant(MASKED, np.float32))
        whole, last = self.i64([2**63 - 1]), self.i64([3])
        return ops.slice(mask, self.i64([0]), whole, self.i64([1]), last)

    def remember(self, key: Node, value: Node, layer: int, heads: Heads) -> tuple[Node, Node]:
        return (
            self._remember(key, layer, "key", heads.keys, heads.width),
            self._remember(value, layer, "value", heads.keys, heads.value_width),
        )

    def _remember(self, states: Node, layer: int, kind: str, count: int, width: int) -> Node:
        import openvino as ov

        ops = self.ops
        sizes = [self.i64([count]), self.i64([0]), self.i64([width])]
        empty = ops.broadcast(ops.constant(0.0, np.float32), ops.concat([self.batch, *sizes], 0))
        shape = ov.PartialShape([-1, count, -1, width])
        name = f"past_key_values.{layer}.{kind}present.{layer}.{kind}"
        past = ops.read_value(empty, name, np.float32, shape, name=f"{kind}.{layer}.read")
        past = ops.gather(past, self.beam, self.i64(0))
        whole = ops.concat([past, states], -2)
        self.sinks.append(ops.assign(whole, name, name=f"{kind}.{layer}.assign"))
        return whole

    def attention(
        self, query: Node, key: Node, value: Node, mask: Node | None, *, heads: Heads, scale: float, name: str,
        softcap: float | None = None, sinks: str | None = None,
    ) -> Node:  # fmt: skip
        ops = self.ops
        mask = ops.constant(0.0, np.float32) if mask is None else mask
        key, value = self.repeated(key, heads), self.repeated(value, replace(heads, width=heads.value_width))
        if sinks is not None:
            context = self._sinking(query, key, value, mask, scale=scale, sinks=sinks, name=name)
        elif softcap is None:
            context = ops.scaled_dot_product_attention(
                query, key, value, mask, ops.constant(scale, np.float32), causal=False, name=name
            )
        else:  # which the runtime's one operation for attention cannot do
            scores = self._capped(self.scale(ops.matmul(query, key, False, True), scale), softcap)
            context = ops.matmul(ops.softmax(ops.add(scores, mask), -1), value, False, False, name=name)
        return ops.reshape(self.swap(context), self.i64([0, 0, heads.queries * heads.value_width]), special_zero=True)

    def _sinking(self, query: Node, key: Node, value: Node, mask: Node, *, scale: float, sinks: str, name: str) -> Node:
        """Attend with a sixth input, which Python's opset does not know yet."""
        from openvino.utils.node_factory import NodeFactory

        held = self.ops.reshape(self.weights(sinks), self.i64([1, -1, 1, 1]), special_zero=False)
        inputs = [query, key, value, mask, self.ops.constant(scale, np.float32), held]
        node = NodeFactory("opset13").create(
            "ScaledDotProductAttention",
            [one if hasattr(one, "get_node") else one.output(0) for one in inputs],
            {"causal": False},
        )
        node.set_friendly_name(name)
        return node

    def attention_to_all(self, query: Node, key: Node, value: Node, *, heads: Heads, name: str) -> Node:
        query, key, value = map(self.swap, (query, key, value))
        return self.attention(query, key, value, None, heads=heads, scale=heads.width**-0.5, name=name)

    def repeated(self, states: Node, heads: Heads) -> Node:
        ops = self.ops
        if heads.groups == 1:
            return states
        shape = ops.shape_of(states)
        front = ops.gather(shape, self.i64([0, 1]), self.i64(0))
        length = ops.gather(shape, self.i64([2]), self.i64(0))
        target = ops.concat([front, self.i64([heads.groups]), length, self.i64([heads.width])], 0)
        # the mode goes by keyword: as a positional argument it is taken for axes_mapping, and the fusion is lost
        wide = ops.broadcast(ops.unsqueeze(states, self.i64(2)), target, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(wide, self.i64([0, heads.queries, -1, heads.width]), special_zero=True)

    def _capped(self, states: Node, cap: float | None) -> Node:
        if cap is None:
            return states
        return self.scale(self.ops.tanh(self.ops.divide(states, self.ops.constant(cap, np.float32))), cap)

"""What the graphs of the stream engine are written with: the opset, and the few layers that all of them have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Node = Any
Weights = Callable[[str], Node]
"""Gives the float32 output of a stored tensor, de-quantization included, for the tensor's name in the checkpoint."""


class Operations:
    """A graph under construction; `ops` is the opset."""

    def __init__(self, weights: Weights) -> None:
        from openvino import opset13

        self.weights = weights
        self.ops = opset13

    def input(self, name: str, shape: list[int], dtype: type) -> Node:
        """Add an input; -1 is a dimension of any size."""
        node = self.ops.parameter(shape, dtype, name=name)
        node.output(0).get_tensor().set_names({name})
        return node

    def output(self, node: Node, name: str) -> Node:
        """Make a node, float32 of any shape, the output `name`."""
        node.output(0).get_tensor().set_names({name})
        return self.ops.result(node, name=f"{name}/result")

    def i64(self, value: Any) -> Node:
        """Return a constant int64."""
        return self.ops.constant(value, np.int64)

    def linear(self, hidden: Node, name: str, bias: bool) -> Node:
        """Multiply [..., in] by the weight `name` [out, in], and add its bias if it has one."""
        product = self.ops.matmul(hidden, self.weights(name + ".weight"), False, True, name=name)
        return self.ops.add(product, self.weights(name + ".bias")) if bias else product

    def activate(self, states: Node, kind: str) -> Node:
        """Apply one of `families.decoder.ACTIVATIONS`."""
        if kind == "silu":
            return self.ops.swish(states)
        return self.ops.gelu(states, "tanh" if kind == "gelu_pytorch_tanh" else "erf")

    def heads(self, states: Node, count: int, width: int) -> Node:
        """[batch, n, count * width] -> [batch, n, count, width]."""
        return self.ops.reshape(states, self.i64([0, 0, count, width]), special_zero=True)

    def swap(self, states: Node) -> Node:
        """[batch, n, heads, width] <-> [batch, heads, n, width]."""
        return self.ops.transpose(states, self.ops.constant([0, 2, 1, 3], np.int32))

    def lookup(self, table: Node, ids: Node) -> Node:
        """Take the rows of [rows, width] that the ids int64 [batch, n] name."""
        return self.ops.gather(table, self.ops.convert(ids, np.int32), self.ops.constant(0, np.int32))

    def batch_of(self, node: Node) -> Node:
        """Return the first dimension's size, int64 [1]."""
        return self.ops.gather(self.ops.shape_of(node), self.i64([0]), self.i64(0))

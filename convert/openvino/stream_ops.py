"""What the layers of the stream engine's graphs are written with: the opset, inputs, outputs and constants."""

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

    def input(self, name: str, shape: list[int], dtype: type | str) -> Node:
        """Add an input; -1 is a dimension of any size."""
        node = self.ops.parameter(shape, np.dtype(dtype).type, name=name)
        node.output(0).get_tensor().set_names({name})
        return node

    def output(self, node: Node, name: str) -> Node:
        """Make a node, float32 of any shape, the output `name`."""
        node.output(0).get_tensor().set_names({name})
        return self.ops.result(node, name=f"{name}/result")

    def i64(self, value: Any) -> Node:
        """Return a constant int64."""
        return self.ops.constant(value, np.int64)

    def batch_of(self, node: Node) -> Node:
        """Return the first dimension's size, int64 [1]."""
        return self.ops.gather(self.ops.shape_of(node), self.i64([0]), self.i64(0))

    def scale(self, states: Node, factor: float) -> Node:
        """Multiply by a number."""
        return self.ops.multiply(states, self.ops.constant(factor, np.float32))

    def negative(self, states: Node) -> Node:
        """Multiply by -1: the form that the rotary fusion knows, unlike Negative."""
        return self.ops.multiply(states, self.ops.constant(-1.0, np.float32))

    def swap(self, states: Node) -> Node:
        """[batch, n, heads, width] <-> [batch, heads, n, width]."""
        return self.ops.transpose(states, self.ops.constant([0, 2, 1, 3], np.int32))

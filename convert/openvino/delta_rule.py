"""The gated delta rule as a loop over positions, in the form that OpenVINO puts one operation (GatedDeltaNet) in place of.

Source: `transformations/common_optimizations/fuse_gated_delta_net.cpp` of OpenVINO, which knows the loop of optimum-intel
(`optimum/exporters/openvino/_ov_ops.py`): which operation, in which order, is what it looks for.
tests/convert/test_streamed_logits.py finds out whether it is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Node = Any
_AXIS = 2
"""Of the positions in what the loop takes."""
_NAMES = ("step", "query", "key", "value", "decay", "beta", "state", "made")


def loop(ops: Any, inputs: Sequence[Node], state: Node) -> tuple[Node, Node]:
    """Go through all positions.

    Args:
        ops: the opset.
        inputs: query and key [batch, heads, n, key width], value [batch, heads, n, value width], decay and beta
            [batch, heads, n].
        state: [batch, heads, key width, value width].

    Returns:
        [batch, heads, n, value width], and the state behind the last position.
    """
    import openvino as ov

    value = inputs[2]
    shape = ops.shape_of(value)
    made = ops.broadcast(ops.constant(0.0, np.float32), shape)
    count = ops.convert(ops.gather(shape, _i32(ops, _AXIS), _i32(ops, 0)), np.int32)
    parameters, results = _body(ops)
    body = ov.Model([_named(ops.constant([True], bool), "goes on"), *results], parameters, "delta_rule")
    made_loop = ops.loop(count, ops.constant(True, bool))
    made_loop.set_function(body)
    _, *sliced, last, whole = parameters
    for parameter, given in zip(sliced, inputs, strict=True):
        made_loop.set_sliced_input(parameter, given.output(0), 0, 1, 1, -1, _AXIS)
    made_loop.set_merged_input(last, state.output(0), results[0].output(0))
    made_loop.set_merged_input(whole, made.output(0), results[1].output(0))
    made_loop.set_special_body_ports([0, 0])
    outputs = [made_loop.get_iter_value(results[i].output(0), -1) for i in (1, 0)]
    as_it_is = ops.constant([0] * 4, np.int64)  # an output of several is no node, as which what is kept has to come
    return tuple(ops.reshape(output, as_it_is, special_zero=True) for output in outputs)


def _i32(ops: Any, value: Any) -> Node:
    return ops.constant(value, np.int32)


def _body(ops: Any) -> tuple[list[Node], list[Node]]:
    """Return what one step takes, and what it gives: the state, and all outputs so far."""
    step = ops.parameter([], np.int32)
    query, key, value = (ops.parameter([-1, -1, 1, -1], np.float32) for _ in range(3))
    decay, beta = (ops.parameter([-1, -1, 1], np.float32) for _ in range(2))
    last, whole = (ops.parameter([-1] * 4, np.float32) for _ in range(2))
    before = ops.multiply(last, ops.unsqueeze(ops.exp(decay), _i32(ops, -1)))
    by_key = ops.unsqueeze(ops.squeeze(key, _i32(ops, _AXIS)), _i32(ops, -1))
    known = ops.reduce_sum(ops.multiply(before, by_key), _i32(ops, -2), False)
    learned = ops.multiply(ops.subtract(ops.squeeze(value, _i32(ops, _AXIS)), known), beta)
    state = ops.add(before, ops.multiply(by_key, ops.unsqueeze(learned, _i32(ops, -2))))
    asked = ops.multiply(state, ops.unsqueeze(ops.squeeze(query, _i32(ops, _AXIS)), _i32(ops, -1)))
    given = ops.reduce_sum(asked, _i32(ops, -2), True)
    made = ops.scatter_update(whole, ops.unsqueeze(step, _i32(ops, 0)), given, _i32(ops, _AXIS))
    parameters = [step, query, key, value, decay, beta, last, whole]
    named = [_named(parameter, name) for parameter, name in zip(parameters, _NAMES, strict=True)]
    return named, [_named(state, "next state"), _named(made, "next made")]


def _named(node: Node, name: str) -> Node:
    """Name a value that OpenVINO would number by itself."""
    node.output(0).get_tensor().set_names({name})
    return node

"""Experts in OpenVINO's opset: all of them on all tokens, each weighed, of which the runtime computes the chosen ones alone.

The form is what `ConvertTiledMoeBlockToGatherMatmuls` looks for (`src/common/transformations`, 2026.4): tokens tiled, one product
a role with a stack of matrices, weights scattered into [experts, tokens, 1]. The CPU makes GatherMatmul of it, the GPU its own
operation for a mixture. A Swish with a second input, as Python's opset makes it, is not known there.
tests/convert/openvino/test_stream_experts.py looks at the compiled graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program.decoder import Decoder
from ..program.experts import WOVEN, Experts
from .stream_ops import Node, Operations

ALPHA = 1.702
"""What the gate is multiplied with before the sigmoid, where it is cut off."""


def woven(decoder: Decoder) -> bool:
    """Tell whether the fusion wants gate and up in one: where they are cut off, and have biases."""
    return any(one is not None and one.limit is not None for one in decoder.experts)


def experts(layers: Operations, hidden: Node, prefix: str, e: Experts, activation: str) -> Node:
    """Implement `program.ops.Ops.experts`."""
    ops, i64 = layers.ops, layers.i64
    width = hidden.get_output_partial_shape(0)[2].get_length()
    flat = ops.reshape(hidden, i64([-1, width]), special_zero=False)
    tokens = ops.gather(ops.shape_of(flat), i64([0]), i64(0))
    routing = _routing(layers, flat, tokens, prefix, e)
    tiled = ops.reshape(ops.tile(flat, i64([e.count, 1])), i64([e.count, -1, width]), special_zero=False)
    inner = _cut_off(layers, tiled, prefix, e) if e.limit else _gated(layers, tiled, prefix, e, activation)
    given = _product(layers, inner, prefix, e, "down")
    each = ops.reshape(given, ops.concat([i64([e.count]), tokens, i64([width])], 0), special_zero=False)
    whole = ops.reduce_sum(ops.multiply(each, routing), i64([0]), keep_dims=False)
    return ops.reshape(whole, ops.shape_of(hidden), special_zero=False)


def _routing(layers: Operations, flat: Node, tokens: Node, prefix: str, e: Experts) -> Node:
    """Return what each expert counts for each token, float32 [experts, tokens, 1]; 0 if it is not chosen."""
    ops, i64 = layers.ops, layers.i64
    weights, chosen = _chosen(layers, flat, prefix, e)
    nothing = ops.broadcast(ops.constant(0.0, np.float32), ops.concat([tokens, i64([e.count])], 0))
    dense = ops.scatter_elements_update(nothing, chosen, weights, i64(1))
    turned = ops.reshape(ops.transpose(dense, i64([1, 0])), ops.concat([i64([e.count]), tokens], 0), special_zero=False)
    return ops.unsqueeze(turned, i64(-1))


def _chosen(layers: Operations, flat: Node, prefix: str, e: Experts) -> tuple[Node, Node]:
    """Return weights float32 and numbers int64 of each token's experts, [tokens, used]."""
    ops, i64 = layers.ops, layers.i64
    router = prefix + e.stored.router
    logits = ops.matmul(flat, layers.weights(f"{router}.weight"), False, True, name=router)
    if e.bias:
        logits = ops.add(logits, layers.weights(f"{router}.bias"))
    if e.late:
        top = _top(layers, logits, e.used)
        weights, chosen = ops.softmax(top.output(0), 1), top.output(1)
    elif e.scores == "softmax" and not e.correction and e.groups == 1:
        top = _top(layers, ops.softmax(logits, 1), e.used)
        weights, chosen = top.output(0), top.output(1)
    else:
        scores = ops.sigmoid(logits) if e.scores == "sigmoid" else ops.softmax(logits, 1)
        chosen = _top(layers, _for_choice(layers, scores, prefix, e), e.used).output(1)
        weights = ops.gather_elements(scores, chosen, 1)
    if e.normalized and not e.late:
        total = ops.reduce_sum(weights, i64([-1]), keep_dims=True)
        if e.scores == "sigmoid":
            total = ops.add(total, ops.constant(1e-20, np.float32))
        weights = ops.divide(weights, total)
    return (weights if e.factor == 1.0 else ops.multiply(weights, ops.constant(e.factor, np.float32))), chosen


def _for_choice(layers: Operations, scores: Node, prefix: str, e: Experts) -> Node:
    """Return the scores by which experts are chosen: corrected, and 0 outside the best groups."""
    ops, i64 = layers.ops, layers.i64
    if e.correction:
        scores = ops.add(scores, layers.weights(prefix + e.correction))
    if e.groups == 1:
        return scores
    size = e.count // e.groups
    parted = ops.reshape(scores, i64([-1, e.groups, size]), special_zero=False)
    best = ops.reduce_sum(_top(layers, parted, min(e.group_best, size), 2).output(0), i64([-1]), keep_dims=False)
    taken = _top(layers, best, e.used_groups).output(1)
    zeros = ops.multiply(best, ops.constant(0.0, np.float32))
    ones = ops.broadcast(ops.constant(1.0, np.float32), ops.shape_of(taken))
    mask = ops.unsqueeze(ops.scatter_elements_update(zeros, taken, ones, i64(1)), i64(-1))
    return ops.reshape(ops.multiply(parted, mask), i64([-1, e.count]), special_zero=False)


def _top(layers: Operations, values: Node, count: int, axis: int = 1) -> Node:
    return layers.ops.topk(values, layers.i64(count), axis=axis, mode="max", sort="value", index_element_type="i64")


def _product(layers: Operations, states: Node, prefix: str, e: Experts, role: str) -> Node:
    """Multiply [experts, tokens, columns] by each expert's matrix, and add its bias if it has one."""
    name = prefix + e.stored.stack(role)
    product = layers.ops.matmul(states, layers.weights(name), False, True, name=name.removesuffix(".weight"))
    return layers.ops.add(product, layers.weights(prefix + e.stored.stack(role, "bias"))) if e.bias else product


def _gated(layers: Operations, states: Node, prefix: str, e: Experts, activation: str) -> Node:
    gate, up = (_product(layers, states, prefix, e, role) for role in ("gate", "up"))
    acted = _swish(gate) if activation == "silu" else layers.ops.gelu(gate, "tanh" if "tanh" in activation else "erf")
    return layers.ops.multiply(acted, up)


def _cut_off(layers: Operations, states: Node, prefix: str, e: Experts) -> Node:
    """Return gate * sigmoid(ALPHA * gate) * (up + 1), gate cut off above the limit, up on both sides."""
    ops, limit = layers.ops, float(e.limit or 0)
    both = _product(layers, states, prefix, e, WOVEN)
    gate, up = (_every_other(layers, both, first) for first in (0, 1))
    more = ops.add(ops.clamp(up, -limit, limit), ops.constant(1.0, np.float32))
    capped = ops.minimum(gate, ops.constant(limit, np.float32))
    return ops.multiply(more, ops.swish(capped, ops.constant(ALPHA, np.float32)))


def _every_other(layers: Operations, states: Node, first: int) -> Node:
    i64 = layers.i64
    return layers.ops.slice(states, i64([first]), i64([2**63 - 1]), i64([2]), i64([-1]))


def _swish(states: Node) -> Any:
    """Swish of one input."""
    from openvino.utils.node_factory import NodeFactory

    return NodeFactory("opset4").create("Swish", [states])

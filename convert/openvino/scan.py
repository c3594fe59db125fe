"""The selective scan as a loop over pieces of a text: within a piece as products of matrices, between them by the state.

Of a piece of n positions all pairs are looked at, n times n, as in attention, so that a prompt costs products of matrices and
not steps; one position alone is a piece of one. What is in memory is one piece, however long the text.
Source: section 6 of "Transformers are SSMs" (Dao and Gu, 2024), as in `transformers/models/mamba2/modeling_mamba2.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..program.ops import State

Node = Any
PIECE = 64
"""Positions; 32 and 128 were measured to take as long. Rounding grows with it, for decays within a piece are added up."""
_UNSEEN = -65504.0
"""The logarithm of what a position weighs that comes later."""
_PIECES = 1
"""The axis of the pieces in what the loop takes."""


def loop(ops: Any, inputs: Sequence[Node], past: Node, state: State, keys: int) -> tuple[Node, Node]:
    """Go through all pieces.

    Args:
        ops: the opset.
        inputs: query and key [batch, n, keys, key width], value [batch, n, heads, value width], decay [batch, n, heads].
        past: [batch, heads, key width, value width].
        state: its sizes.
        keys: number of keys.

    Returns:
        [batch, n, heads, value width], and the state behind the last position.
    """
    import openvino as ov

    heads, width, out = state.shape
    tails = ([keys, width], [keys, width], [heads, out], [heads])
    length = ops.gather(ops.shape_of(inputs[2]), _i64(ops, [1]), _i64(ops, 0))
    piece = ops.minimum(length, _i64(ops, [PIECE]))
    count = ops.divide(ops.add(length, ops.subtract(piece, _i64(ops, [1]))), piece)
    cut = [_cut(ops, one, count, piece, tail) for one, tail in zip(inputs, tails, strict=True)]
    parameters, results = _body(ops, tails, state, keys)
    body = ov.Model([_named(ops.constant([True], bool), "goes on"), *results], parameters, "scan")
    made = ops.loop(ops.convert(ops.squeeze(count, _i64(ops, [0])), np.int32), ops.constant(True, bool))
    made.set_function(body)
    *sliced, last = parameters
    for parameter, given in zip(sliced, cut, strict=True):
        made.set_sliced_input(parameter, given.output(0), 0, 1, 1, -1, _PIECES)
    made.set_merged_input(last, past.output(0), results[1].output(0))
    made.set_special_body_ports([-1, 0])
    whole = made.get_concatenated_slices(results[0].output(0), 0, 1, 1, -1, _PIECES)
    kept = made.get_iter_value(results[1].output(0), -1)
    joined = ops.reshape(whole, _i64(ops, [0, -1, heads, out]), special_zero=True)
    joined = ops.slice(joined, _i64(ops, [0]), length, _i64(ops, [1]), _i64(ops, [1]))
    return joined, ops.reshape(kept, _i64(ops, [0] * 4), special_zero=True)  # an output of several is no node


def _cut(ops: Any, states: Node, count: Node, piece: Node, tail: list[int]) -> Node:
    """[batch, n, ...] -> [batch, pieces, positions, ...]; what the last one lacks adds nothing, and lets nothing fade."""
    none = [0] * len(tail)
    length = ops.gather(ops.shape_of(states), _i64(ops, [1]), _i64(ops, 0))
    more = ops.subtract(ops.multiply(count, piece), length)
    end = ops.concat([_i64(ops, [0]), more, _i64(ops, none)], 0)
    padded = ops.pad(states, _i64(ops, [0, 0, *none]), end, "constant", ops.constant(0.0, np.float32))
    shape = ops.concat([_i64(ops, [0]), count, piece, _i64(ops, tail)], 0)
    return ops.reshape(padded, shape, special_zero=True)


def _body(ops: Any, tails: Sequence[list[int]], state: State, keys: int) -> tuple[list[Node], list[Node]]:
    """Return what a piece takes, and what it gives: its outputs, and the state.

    Dimensions: batch, keys, heads of a key, positions or key width, positions or value width.
    """
    heads, width, out = state.shape
    taken = [ops.parameter([-1, 1, -1, *tail], np.float32) for tail in tails]
    before = ops.parameter([-1, heads, width, out], np.float32)
    query, key, value, decay = (ops.squeeze(one, _i64(ops, [_PIECES])) for one in taken)
    query, key = (ops.unsqueeze(_turned(ops, one, 0, 2, 1, 3), _i64(ops, 2)) for one in (query, key))
    by_key = [0, keys, heads // keys]
    value = ops.reshape(_turned(ops, value, 0, 2, 1, 3), _i64(ops, [*by_key, -1, out]), special_zero=True)
    decay = ops.reshape(_turned(ops, decay, 0, 2, 1), _i64(ops, [*by_key, -1]), special_zero=True)
    down = ops.unsqueeze(ops.cum_sum(decay, _i64(ops, -1)), _i64(ops, -1))
    between = _between(ops, decay)
    known = ops.reshape(before, _i64(ops, [*by_key, width, out]), special_zero=True)
    seen = ops.multiply(ops.matmul(query, key, False, True), between)
    made = ops.matmul(seen, value, False, False)
    made = ops.add(made, ops.matmul(ops.multiply(query, ops.exp(down)), known, False, False))
    total, left = (ops.gather(one, _i64(ops, [-1]), _i64(ops, 3)) for one in (down, between))
    added = ops.matmul(ops.multiply(_turned(ops, key, 0, 1, 2, 4, 3), left), value, False, False)
    state_now = ops.add(ops.multiply(known, ops.exp(total)), added)
    state_now = ops.reshape(state_now, _i64(ops, [0, heads, width, out]), special_zero=True)
    flat = ops.reshape(made, _i64(ops, [0, heads, -1, out]), special_zero=True)
    piece = ops.unsqueeze(_turned(ops, flat, 0, 2, 1, 3), _i64(ops, _PIECES))
    names = ("query", "key", "value", "decay", "state")
    named = [_named(one, name) for one, name in zip([*taken, before], names, strict=True)]
    return named, [_named(piece, "made"), _named(state_now, "next state")]


def _between(ops: Any, decay: Node) -> Node:
    """Return what is left at each position (rows) of what each one (columns) has added; 0 of later ones.

    Decays between the two are added up, and no sums from the first one on subtracted: where the CPU computes in bfloat16, such
    a difference is noise.
    """
    count = ops.gather(ops.shape_of(decay), _i64(ops, 3), _i64(ops, 0))
    steps = ops.range(_i64(ops, 0), count, _i64(ops, 1), "i64")
    row, column = ops.unsqueeze(steps, _i64(ops, 1)), ops.unsqueeze(steps, _i64(ops, 0))
    passed = ops.select(ops.greater(row, column), ops.unsqueeze(decay, _i64(ops, -1)), ops.constant(0.0, np.float32))
    faded = ops.cum_sum(passed, _i64(ops, -2))
    return ops.exp(ops.select(ops.greater_equal(row, column), faded, ops.constant(_UNSEEN, np.float32)))


def _turned(ops: Any, states: Node, *order: int) -> Node:
    return ops.transpose(states, _i64(ops, list(order)))


def _i64(ops: Any, value: Any) -> Node:
    return ops.constant(value, np.int64)


def _named(node: Node, name: str) -> Node:
    """Name a value that OpenVINO would number by itself."""
    node.output(0).get_tensor().set_names({name})
    return node

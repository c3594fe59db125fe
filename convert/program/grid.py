"""Pictures of any size as grids of patches: which patch lies where, in what order, and which see each other.

A picture is [t, h, w] patches (`image_grid_thw`; t frames of a film, 1 of a picture). Patches lie in memory unit by unit: `merge`
x `merge` of them, which become one row of the language model, lie side by side. What is computed here on numbers, outside of the
graphs as optimum-intel and openvino_genai do (`Places`), `written` computes inside of one, for ONNX.

Source: `rot_pos_emb`, `get_window_index` and `get_rope_index` of transformers' Qwen2-VL and Qwen2.5-VL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from .ops import Ops, T
from .vision import Array, Arrays

GRID = "image_grid_thw"
MASKED = -65504.0
"""What is added to the score of a patch that is not seen: float16's lowest."""


@dataclass(frozen=True)
class Places(Generic[T]):
    """Where each of all patches lies, int64 [n] each: numpy's arrays, or values of a graph.

    Attributes:
        frame: the number of its frame, over all pictures.
        row: of patches, from the top of its frame.
        column: from the left.
        rows: of its frame.
        columns: of its frame.
    """

    frame: T
    row: T
    column: T
    rows: T
    columns: T


def places(grids: Array, merge: int) -> Places[Array]:
    """Return the places of the patches of pictures [k, 3] in the order of memory."""
    parts: list[tuple[Array, ...]] = []
    frames = 0
    for t, h, w in grids.tolist():
        unit = np.arange(h * w).reshape(h // merge, merge, w // merge, merge).transpose(0, 2, 1, 3).reshape(-1)
        frame = np.repeat(np.arange(frames, frames + t), h * w)
        parts.append((frame, np.tile(unit // w, t), np.tile(unit % w, t), np.full(t * h * w, h), np.full(t * h * w, w)))
        frames += t
    return Places(*(np.concatenate(one).astype(np.int64) for one in zip(*parts, strict=True)))


def written(ops: Ops[T], patches: T, grids: T, merge: int) -> Places[T]:
    """Write the same down in a graph, for patches [n, …] and grids int64 [k, 3]."""
    t, h, w = (ops.reshape(ops.slices(grids, 1, axis, axis + 1), [-1]) for axis in range(3))
    size = ops.multiply(h, w)
    ends = ops.sums(ops.multiply(t, size))
    number = ops.count(patches)
    picture = ops.passed(number, ends)
    first, rows, columns, area = (
        ops.taken(one, picture, 0) for one in (ops.minus(ends, ops.multiply(t, size)), h, w, size)
    )
    before = ops.taken(ops.minus(ops.sums(t), t), picture, 0)
    inside = ops.minus(number, first)
    frame = ops.add(before, ops.quotient(inside, area))
    inside = ops.rest(inside, area)
    side, block = ops.whole(merge), ops.whole(merge * merge)
    unit, within = ops.quotient(inside, block), ops.rest(inside, block)
    wide = ops.quotient(columns, side)
    row = ops.add(ops.multiply(ops.quotient(unit, wide), side), ops.quotient(within, side))
    column = ops.add(ops.multiply(ops.rest(unit, wide), side), ops.rest(within, side))
    return Places(frame, row, column, rows, columns)


def frequencies(dim: int, theta: float = 10000.0) -> Array:
    """Return the frequencies by which rows and columns turn, float32 [dim / 4], for heads of `dim`."""
    half = dim // 2
    return (1.0 / theta ** (np.arange(0, half, 2, dtype=np.float32) / half)).astype(np.float32)


def angles(found: Places[Array], dim: int) -> Array:
    """Return each patch's angles, float32 [n, dim / 2]: by its row, then by its column."""
    turning = frequencies(dim)
    return np.concatenate([one[:, None].astype(np.float32) * turning for one in (found.row, found.column)], 1)


def written_angles(ops: Ops[T], found: Places[T], dim: int) -> T:
    """Write the same down in a graph."""
    turning = ops.floats(frequencies(dim)[None])
    return ops.concat(
        [ops.multiply(ops.unsqueezed(ops.real(one), [1]), turning) for one in (found.row, found.column)], 1
    )


def seen(groups: Array) -> Array:
    """Return what is added to scores where one sees those of its own group alone: float32 [1, n, n]."""
    return np.where(groups[:, None] == groups[None], np.float32(0), np.float32(MASKED))[None]


def windows(found: Places[Array], merge: int, side: int) -> Array:
    """Return the number of each patch's window, int64 [n]: `side` x `side` units of a frame, row by row, none twice."""
    across = found.columns // (merge * side) + 1
    down = found.rows // (merge * side) + 1
    inside = found.row // (merge * side) * across + found.column // (merge * side)
    sizes = np.zeros(int(found.frame.max(initial=-1)) + 1, np.int64)
    sizes[found.frame] = across * down
    made: Array = (np.cumsum(sizes) - sizes)[found.frame] + inside
    return made


def written_windows(ops: Ops[T], found: Places[T], merge: int, side: int) -> T:
    """Write numbers of windows down that are as distinct, in another order."""
    step = ops.whole(merge * side)
    across = ops.add(ops.quotient(found.columns, step), ops.whole(1))
    inside = ops.add(ops.multiply(ops.quotient(found.row, step), across), ops.quotient(found.column, step))
    return ops.add(ops.multiply(found.frame, ops.whole(MOST)), inside)


MOST = 1 << 32
"""More windows than a frame can have."""


def positions(ids: Sequence[int], grids: Sequence[Any], placeholder: int, merge: int) -> Array:
    """Return the positions of a prompt's tokens by time, row and column, int64 [3, n].

    Words move all three on by one. The rows of a picture stand at the place where it begins, plus row and column; what follows
    it goes on behind its longer side.
    """
    wanted, at, made = iter(grids), 0, list[Array]()
    index = 0
    while index < len(ids):
        if ids[index] != placeholder:
            made.append(np.full((3, 1), at, np.int64))
            at, index = at + 1, index + 1
            continue
        t, h, w = (int(size) for size in np.asarray(next(wanted)).reshape(-1))
        h, w = h // merge, w // merge
        row, column = np.divmod(np.tile(np.arange(h * w), t), w)
        made.append(at + np.stack([np.zeros_like(row), row, column]).astype(np.int64))
        at, index = at + max(h, w), index + t * h * w
    return np.concatenate(made, 1) if made else np.zeros((3, 0), np.int64)


def grids_of(made: Arrays) -> Array:
    """Return the grids of what a processor makes, int64 [k, 3]."""
    return np.asarray(made[GRID], np.int64).reshape(-1, 3)

"""One block of rows of a tensor, from the checkpoint's form to the file's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...quantize.ggml.rows import quantize_into
from ...quantize.integer import to_float32
from .layout import Placed

Array = npt.NDArray[Any]


def encode(placed: Placed, rows: Array, first_row: int, importance: Array | None) -> Array:
    """Return the bytes of a block of rows, uint8 [n, row bytes].

    Args:
        placed: the tensor.
        rows: [n, cols], as the checkpoint stores them (bfloat16 as uint16 bits), whole heads if their rows are reordered.
        first_row: the number in the tensor of rows[0].
        importance: float32 [cols], or None.

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit the type.
    """
    tensor = placed.tensor
    if tensor.head_dim:
        rows = to_neighbors(rows, tensor.head_dim, 1 if len(tensor.shape) == 1 else placed.cols)
    if tensor.held.changed:
        rows = tensor.held.apply(to_float32(rows), first_row)
    if tensor.plus:
        rows = to_float32(rows) + np.float32(tensor.plus)
    out = np.empty((len(rows), placed.type.row_bytes(placed.cols)), np.uint8)
    quantize_into(rows, placed.type, out, importance, first_row=first_row, name=tensor.source or tensor.name)
    return out


def to_neighbors(rows: Array, head_dim: int, cols: int) -> Array:
    """Reorder the rows (of a vector: the elements) of each head from halves (i, i + d/2) to neighbors (2i, 2i + 1)."""
    heads = rows.reshape(-1, 2, head_dim // 2, cols)
    return heads.swapaxes(1, 2).reshape(rows.shape)


def to_halves(rows: Array, head_dim: int, cols: int) -> Array:
    """Undo `to_neighbors`: from neighbors (2i, 2i + 1) to halves (i, i + d/2)."""
    heads = rows.reshape(-1, head_dim // 2, 2, cols)
    return heads.swapaxes(1, 2).reshape(rows.shape)

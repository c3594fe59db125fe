"""How one tensor of a checkpoint lies in an ONNX model: which initializers, of which types, sizes and bytes.

Values, scales and zero points are those of the IR (`convert.openvino.stored`), in the layouts of two operators:

    int4    com.microsoft.MatMulNBits: values uint8 [rows, blocks, block / 2], low nibble first, offset by 8 if symmetric;
            scales float32 [rows, blocks]; zero points uint8 [rows, ⌈blocks / 2⌉], two a byte
    int8    DequantizeLinear on axis 0: values uint8 or int8 [rows, …], scales float32 [rows], zero points uint8 [rows]
    experts com.microsoft.QMoE: likewise with [experts, rows] in the place of [rows], all values uint8, offset by 8 or 128 if
            symmetric; of int8, and of int4 in rows, scales [experts, rows] and zero points one or two a byte

Scales are float32, as `nncf.compress_weights` writes them into an ONNX model: both operators want the type of the activations.
MatMulNBits has blocks of 16 to 256 weights. A larger group, or a whole row, becomes several blocks of one scale, which is the
same matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError, UsageError
from ...quantize import integer
from ...quantize.assign import Assignment
from ..openvino import tensor_layout as plain
from ..openvino.tensor_layout import Constant, TensorLayout

Array = npt.NDArray[Any]
BLOCKS = (256, 128, 64, 32, 16)
"""Sizes of a block that MatMulNBits has."""


def store(
    name: str,
    *,
    dtype: str,
    shape: tuple[int, ...],
    assignment: Assignment,
    precision: str,
    beside: tuple[int, ...] = (),
) -> TensorLayout:
    """Decide how a tensor lies in the model.

    Args:
        name: its name in the checkpoint, and of its initializer.
        dtype: safetensors' name of its type.
        shape: [rows, cols] for a weight, [out, in, height, width] for a convolution's, one dimension for norms and biases.
        assignment: what `quantize.assign` gave it.
        precision: the scheme's mode.
        beside: groups of the stacks of experts with which one of them has to share the size of its blocks.

    Raises:
        CheckpointError: the checkpoint's type cannot be converted.
        UsageError: no block of MatMulNBits divides the group.
    """
    if assignment.mode is None:
        return plain.store(name, dtype=dtype, shape=shape, assignment=assignment, precision=precision)
    if plain.is_stack(shape):
        return _store_stack(name, shape, assignment, beside)
    rows, cols = shape[0], math.prod(shape[1:])
    if assignment.mode.startswith("int8"):
        values = Constant(name, "i8" if assignment.mode == "int8_sym" else "u8", shape)
        zero = None if assignment.mode == "int8_sym" else Constant(f"{name}/zero_point", "u8", (rows,))
        return TensorLayout(name, shape, assignment, values, zero, Constant(f"{name}/scale", "f32", (rows,)))
    size = block(assignment, cols)
    if size is None:
        raise UsageError(
            f"{name} has groups of {group(assignment, cols)}, which no block of ONNX's MatMulNBits divides.",
            f"Blocks have {', '.join(map(str, reversed(BLOCKS)))} weights: use a --group-size that one of them divides.",
        )
    count = cols // size
    zero = None if assignment.mode == "int4_sym" else Constant(f"{name}/zero_point", "u8", (rows, -(-count // 2)))
    values = Constant(name, "u8", (rows, count, size // 2))
    return TensorLayout(name, shape, assignment, values, zero, Constant(f"{name}/scale", "f32", (rows, count)))


def _store_stack(name: str, shape: tuple[int, ...], assignment: Assignment, beside: tuple[int, ...]) -> TensorLayout:
    mode, (experts, rows, cols) = str(assignment.mode), shape
    per_row: tuple[int, ...]
    zeros: tuple[int, ...]
    symmetric = mode.endswith("_sym")
    if mode.startswith("int8") or assignment.group_size == -1:
        per_row = (experts, rows)
        values = Constant(name, "u8", shape if mode.startswith("int8") else (experts, rows, cols // 2))
        zeros = per_row if mode.startswith("int8") else (experts, -(-rows // 2))
    else:
        size = next((n for n in BLOCKS if all(size % n == 0 for size in (group(assignment, cols), *beside))), None)
        if size is None or cols % 2:
            raise UsageError(
                f"{name} has groups of {group(assignment, cols)}, and no block of ONNX's QMoE divides those of its layer.",
                f"Blocks have {', '.join(map(str, reversed(BLOCKS)))} weights: use a --group-size that one of them divides.",
            )
        per_row = (experts, rows, cols // size)
        values, zeros = Constant(name, "u8", (experts, rows, cols // 2)), (experts, rows, -(-(cols // size) // 2))
    zero = None if symmetric else Constant(f"{name}/zero_point", "u8", zeros)
    return TensorLayout(name, shape, assignment, values, zero, Constant(f"{name}/scale", "f32", per_row))


def group(assignment: Assignment, cols: int) -> int:
    """Return how many weights share a scale."""
    return cols if assignment.group_size == -1 else assignment.group_size


def block(assignment: Assignment, cols: int) -> int | None:
    """Return the largest block of MatMulNBits that divides the group, None if none does."""
    return next((size for size in BLOCKS if group(assignment, cols) % size == 0), None)


def encode(stored: TensorLayout, rows: Array) -> tuple[Array, Array | None, Array | None]:
    """Return the bytes of some rows' values, and their zero points and scales (None where there are none).

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit into float16.
    """
    mode = stored.assignment.mode
    if mode is None:
        return plain.encode(stored, rows)
    try:
        done = integer.compress(rows.reshape(len(rows), -1), mode, stored.assignment.group_size, scale_type=np.float32)
    except CheckpointError as error:
        raise CheckpointError(f"{stored.name}: {error.message}", error.hint) from error
    data = done.data ^ np.uint8(0x88) if mode == "int4_sym" else done.data
    if mode == "int8_sym" and plain.is_stack(stored.shape):
        data = done.data.view(np.uint8) ^ np.uint8(0x80)
    return data, done.zero_point, done.scale


def tail(stored: TensorLayout, zero_points: list[Array], scales: list[Array]) -> Iterator[Array]:
    """Return the bytes of the zero points and of the scales, from those of the blocks of rows."""
    four = (stored.assignment.mode or "").startswith("int4")
    repeats = 1
    if plain.is_stack(stored.shape) and stored.scale:
        columns = math.prod(stored.scale.shape[2:])
        repeats = columns // scales[0].shape[1]
        if (
            stored.zero_point and four and len(stored.scale.shape) == 2
        ):  # two rows a byte, each expert's from a whole byte on
            zero = np.concatenate(zero_points).reshape(stored.shape[:2])
            yield _pack_rows(zero)
            zero_points = []
    elif four:
        cols = stored.shape[1]
        repeats = group(stored.assignment, cols) // (2 * stored.values.shape[2])
    if stored.zero_point and zero_points:
        zero = np.repeat(np.concatenate(zero_points), repeats, axis=1)
        yield _pack_rows(zero) if four else zero.reshape(-1)
    if stored.scale:
        yield np.repeat(np.concatenate(scales), repeats, axis=1).reshape(-1).view(np.uint8)


def _pack_rows(values: Array) -> Array:
    """Pack [rows, n] four-bit values two a byte, low nibble first; each row begins on a byte."""
    if values.shape[1] % 2:
        values = np.pad(values, ((0, 0), (0, 1)))
    packed: Array = values[:, 0::2] | (values[:, 1::2] << 4)
    return np.ascontiguousarray(packed).reshape(-1)

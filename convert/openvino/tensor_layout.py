"""How one tensor of a checkpoint lies in an IR: which constants, of which element types, sizes and bytes.

Compressed tensors take the form that NNCF writes (`openvino_backend.py::_create_compression_subgraph`, 3.4.0): values
u4/i4/u8/i8 as [rows, groups, group] (or [rows, cols] with one scale a row), zero points of the values' type, scales float16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.dtypes import BY_ELEMENT, BY_PRECISION, BY_STORED, FLOATS, NAMED
from ...core.errors import CheckpointError
from ...core.manifest import TensorEntry
from ...quantize import integer
from ...quantize.assign import Assignment
from ..checkpoint import Checkpoint

Array = npt.NDArray[Any]
BLOCK = 1 << 22
"""Elements that are quantized at a time."""

BFLOAT16_AT_2_M15, BFLOAT16_AT_2_M14, BFLOAT16_AT_2_16 = 0x3800, 0x3880, 0x4780
"""The bits of 2^-15, of 2^-14, float16's smallest normal value, and of 2^16, bfloat16's first that float16 has not."""

_CACHED = 1 << 16

_BITS = {"u4": 4, "i4": 4, "u8": 8, "i8": 8} | {kind.element: kind.bits for kind in FLOATS}
_ELEMENT = {"int4_sym": "i4", "int4_asym": "u4", "int8_sym": "i8", "int8_asym": "u8"}


@dataclass(frozen=True)
class Constant:
    """One constant: its name in the graph, OpenVINO element type and shape."""

    name: str
    element: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes, packed."""
        return (math.prod(self.shape) * _BITS[self.element] + 7) // 8


@dataclass(frozen=True)
class TensorLayout:
    """One tensor of the checkpoint and the constants that hold it.

    `row_order` is the permutation that `--rope fused` applies to the rows of q and k (int64 [rows]); None: as they are.
    """

    name: str
    shape: tuple[int, ...]
    assignment: Assignment
    values: Constant
    zero_point: Constant | None = None
    scale: Constant | None = None
    row_order: Array | None = None

    @property
    def parts(self) -> list[Constant]:
        """The constants in the order in which they lie in the .bin."""
        return [part for part in (self.values, self.zero_point, self.scale) if part]

    @property
    def size(self) -> int:
        """Bytes of all its constants."""
        return sum(part.size for part in self.parts)

    def entry(self) -> TensorEntry:
        """Return the tensor's row in the manifest."""
        mode = self.assignment.mode
        return TensorEntry(
            name=self.name,
            shape=list(self.shape),
            precision=mode or self.values.element,
            group_size=self.assignment.group_size if mode else None,
            bytes=self.size,
        )


def store(
    name: str,
    *,
    dtype: str,
    shape: tuple[int, ...],
    assignment: Assignment,
    precision: str,
    row_order: Array | None = None,
) -> TensorLayout:
    """Decide how a tensor lies in the IR.

    Args:
        name: its name in the checkpoint, and of its constant.
        dtype: safetensors' name of its type.
        shape: [rows, cols] for a weight, [experts, rows, cols] for a stack of them, [out, in, height, width] for a
            convolution's; one dimension for norms and biases, which are never compressed.
        assignment: what `quantize.assign` gave it.
        precision: the scheme's mode; a float precision converts the uncompressed weights.
        row_order: a permutation of the rows.
    """
    if assignment.mode is None:
        return TensorLayout(
            name,
            shape,
            assignment,
            Constant(name, _float_element(dtype, shape, precision), shape),
            None,
            None,
            row_order,
        )
    lead = shape[:-1] if is_stack(shape) else shape[:1]
    cols = math.prod(shape[len(lead) :])
    grouped = assignment.group_size != -1
    groups = cols // assignment.group_size if grouped else 1
    element = _ELEMENT[assignment.mode]
    per_group = (*lead, groups, 1) if grouped else (*lead, *(1 for _ in shape[len(lead) :]))
    values = Constant(name, element, (*lead, groups, assignment.group_size) if grouped else shape)
    zero = None if assignment.mode.endswith("_sym") else Constant(f"{name}/zero_point", element, per_group)
    return TensorLayout(name, shape, assignment, values, zero, Constant(f"{name}/scale", "f16", per_group), row_order)


def _float_element(dtype: str, shape: tuple[int, ...], precision: str) -> str:
    """Norms and biases keep their type, so that fp16 costs no accuracy where it saves no space; fp32 is all of float32."""
    if dtype not in BY_STORED:
        raise CheckpointError(
            f"The checkpoint stores weights as {dtype}; {NAMED} can be converted.",
            "Take an unquantized revision of the model.",
        )
    if precision == "fp32" or (len(shape) > 1 and precision in BY_PRECISION):
        return BY_PRECISION[precision].element
    return BY_STORED[dtype].element


def is_stack(shape: tuple[int, ...]) -> bool:
    """Tell whether a tensor is a stack of matrices, each row of which is quantized by itself."""
    return len(shape) == 3


def count_rows(shape: tuple[int, ...]) -> int:
    """Return how many rows a tensor is read and quantized in: those of all matrices of a stack."""
    return math.prod(shape[:2]) if is_stack(shape) else shape[0] if shape else 1


def blocks(stored: TensorLayout) -> list[tuple[int, int]]:
    """Cut a tensor into ranges of rows of about BLOCK elements; a row with half a byte at its end is not cut off."""
    rows = count_rows(stored.shape)
    cols = math.prod(stored.shape) // max(rows, 1)
    step = max(1, BLOCK // max(cols, 1))
    if cols % 2:
        step += step % 2
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def read_block(checkpoint: Checkpoint, stored: TensorLayout, start: int, stop: int) -> Array:
    """Return rows [start, stop) in the artifact's order."""
    if is_stack(stored.shape):
        return checkpoint.matrix(stored.name, start, stop)
    if stored.row_order is None:
        return checkpoint.rows(stored.name, start, stop)
    order = stored.row_order[start:stop]
    first = int(order.min())
    rows = checkpoint.rows(stored.name, first, int(order.max()) + 1)
    return np.asarray(rows[order - first])


def encode(stored: TensorLayout, block: Array) -> tuple[Array, Array | None, Array | None]:
    """Return the bytes of a block's values, and its zero points and scales (None where there are none).

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit into float16.
    """
    try:
        if stored.assignment.mode is None:
            return _encode_float(stored, block), None, None
        rows = block.reshape(len(block), -1)
        done = integer.compress(rows, stored.assignment.mode, stored.assignment.group_size)
    except CheckpointError as error:
        raise CheckpointError(f"{stored.name}: {error.message}", error.hint) from error
    return done.data, done.zero_point, done.scale


def _encode_float(stored: TensorLayout, block: Array) -> Array:
    integer.require_finite(block)
    element = stored.values.element
    if block.dtype == BY_ELEMENT[element].numpy:
        return np.ascontiguousarray(block).reshape(-1).view(np.uint8)
    if element == "f16":
        half = to_float16(block)
        if (half.view(np.uint16) & 0x7FFF).max(initial=0) >= 0x7C00:  # far faster than isfinite of float16
            raise CheckpointError("a weight does not fit into float16 (above 65504).", "Use --precision bf16.")
        return half.reshape(-1).view(np.uint8)
    values = integer.to_float32(block)
    if element == "f32":
        return values.reshape(-1).view(np.uint8)
    return to_bfloat16(values).reshape(-1).view(np.uint8)


def to_float16(values: Array) -> Array:
    """Round to float16 (to nearest, ties to even); what is too large becomes infinite.

    Args:
        values: float32, or the bits of bfloat16 as uint16. Those have 7 bits of a fraction where float16 has 10, so that between
            float16's ends only the exponent moves, which is several times as fast as by way of float32.
    """
    with np.errstate(over="ignore"):
        if values.dtype != np.uint16:
            return values.astype(np.float16)
        made = np.empty(values.shape, np.uint16)
        for bits, half in zip(in_cache(values), in_cache(made), strict=True):
            size = bits & 0x7FFF
            half[:] = ((size - np.uint16(BFLOAT16_AT_2_M15)) << 3) | (bits & 0x8000)
            other = (size < BFLOAT16_AT_2_M14) | (size >= BFLOAT16_AT_2_16)
            half[other] = integer.to_float32(bits[other]).astype(np.float16).view(np.uint16)
    return made.view(np.float16)


def in_cache(values: Array) -> list[Array]:
    """Cut an array into flat views small enough that what is computed from them step by step stays in the core's cache."""
    flat = values.reshape(-1)
    return [flat[i : i + _CACHED] for i in range(0, flat.size, _CACHED)]


def to_bfloat16(values: Array) -> Array:
    """Round float32 to bfloat16 (to nearest, ties to even); returns the bits as uint16."""
    bits = values.view(np.uint32)
    rounded: Array = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded


def tail(stored: TensorLayout, zero_points: list[Array], scales: list[Array]) -> Iterator[Array]:
    """Return the bytes of the zero points and of the scales, from those of the blocks."""
    if stored.zero_point:
        zero = np.concatenate([z.reshape(-1) for z in zero_points])
        yield integer.pack(zero) if stored.zero_point.element == "u4" else zero
    if stored.scale:
        yield np.concatenate([s.reshape(-1) for s in scales]).view(np.uint8)

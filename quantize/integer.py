"""NNCF's data-free int4 and int8 arithmetic, bit for bit, on rows of weights.

Source: `nncf/openvino/optimized_functions/models.py::_build_integer_quantization_model` (version 3.4.0). Per group of
one row, in float32:

    symmetric   s = (|min| if |min| >= max else -max) / 2^(b-1);   q = clip(rint(w / s), -2^(b-1), 2^(b-1) - 1)
    asymmetric  min <= 0 <= max;  s = (max - min) / (2^b - 1);  z = clip(-rint(min / s), 0, 2^b - 1)
                q = clip(rint(w / s + z), 0, 2^b - 1)

A scale below float32's eps in magnitude becomes eps; scales are stored as float16, unless float32 is asked for. Four-bit
values are packed two a byte, low nibble first. tests/quantize/test_integer.py compares every byte with `nncf.compress_weights`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import CheckpointError
from . import native

Array = npt.NDArray[Any]
_EPS = np.float32(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Compressed:
    """One compressed block of rows.

    Attributes:
        data: uint8, the weights in storage order ([rows, cols] bytes for 8 bits, [rows * cols / 2] for 4).
        scale: [rows, groups], of the type that was asked for.
        zero_point: uint8 [rows, groups], one value a byte; None for the symmetric modes.
    """

    data: Array
    scale: Array
    zero_point: Array | None


def compress(weights: Array, mode: str, group: int, *, scale_type: type = np.float16) -> Compressed:
    """Quantize a block of rows.

    Args:
        weights: [rows, cols]; uint16 (the bits of bfloat16), float16 or float32.
        mode: "int4_sym", "int4_asym", "int8_sym" or "int8_asym".
        group: weights that share a scale, a divisor of cols; -1: the whole row.
        scale_type: what scales are stored as; NNCF takes float16 in an IR and float32 in an ONNX model.

    Raises:
        CheckpointError: a weight is NaN or infinite.
    """
    bits, sym = int(mode[3]), mode.endswith("_sym")
    rows, cols = weights.shape
    group = cols if group == -1 else group
    weights = _readable(weights)
    lib = native.load()
    if lib is None:
        return _compress_numpy(to_float32(weights), bits, sym, group, scale_type)
    packed = bits == 4 and cols % 2 == 0
    data = np.empty(rows * cols // 2 if packed else rows * cols, np.uint8)
    scale = np.empty((rows, cols // group), np.float32)
    zero_point = None if sym else np.empty((rows, cols // group), np.uint8)
    _check(
        lib.ec_compress(
            weights.ctypes.data, native.DTYPES[weights.dtype], rows, cols, group, bits, int(sym),
            data.ctypes.data, scale.ctypes.data, None if zero_point is None else zero_point.ctypes.data,
        )
    )  # fmt: skip
    if bits == 4 and not packed:
        data = pack(data)
    return Compressed(data, _stored(scale, scale_type), zero_point)


def int8_error(weights: Array) -> float:
    """Return the largest row mean of (w - int8_asym round trip of w)^2, NNCF's `get_integer_quantization_error`.

    Args:
        weights: [rows, cols] as for `compress`. Blocks of rows of one tensor combine by max().
    """
    weights = _readable(weights)
    lib = native.load()
    if lib is not None:
        error = ctypes.c_double()
        _check(
            lib.ec_int8_error(weights.ctypes.data, native.DTYPES[weights.dtype], *weights.shape, ctypes.byref(error))
        )
        return error.value
    values = to_float32(weights)
    _require_finite(values)
    scale, zero_point = _parameters(values, bits=8, sym=False)
    quantized = np.clip(np.rint(values / scale + zero_point), 0, 255)
    difference = (quantized - zero_point) * scale - values
    return float(np.square(difference).mean(axis=1, dtype=np.float64).max(initial=0))


def require_finite(values: Array) -> None:
    """Raise CheckpointError if a value is NaN or infinite (uint16 is read as bfloat16)."""
    values = _readable(values)
    lib = native.load()
    if lib is not None:
        _check(lib.ec_not_finite(values.ctypes.data, native.DTYPES[values.dtype], values.size))
    else:
        _require_finite(to_float32(values))


def pack(values: Array) -> Array:
    """Pack four-bit values (uint8 or int8, one a byte) two a byte, low nibble first; an odd last one stands alone."""
    flat = values.reshape(-1).view(np.uint8) & 15
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    packed: Array = flat[0::2] | (flat[1::2] << 4)
    return packed


def to_float32(weights: Array) -> Array:
    """Return the values as float32; uint16 is read as the bits of bfloat16."""
    if weights.dtype == np.uint16:
        return (weights.astype(np.uint32) << 16).view(np.float32)
    return weights.astype(np.float32, copy=False)


def _readable(weights: Array) -> Array:
    """Return contiguous rows of a type that the kernels read."""
    if weights.dtype not in native.DTYPES:
        weights = weights.astype(np.float32)
    return np.ascontiguousarray(weights)


def _stored(scale: Array, kind: type) -> Array:
    with np.errstate(over="ignore"):
        return scale.astype(kind, copy=False)


def _compress_numpy(weights: Array, bits: int, sym: bool, group: int, scale_type: type = np.float16) -> Compressed:
    _require_finite(weights)
    rows, cols = weights.shape
    grouped = weights.reshape(rows, cols // group, group)
    scale, zero_point = _parameters(grouped, bits, sym)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if sym else (0, 2**bits - 1)
    values = grouped / scale
    if not sym:
        values += zero_point
    quantized = np.clip(np.rint(values), low, high).astype(np.int8 if sym else np.uint8)
    data = pack(quantized) if bits == 4 else quantized.reshape(-1).view(np.uint8)
    return Compressed(data, _stored(scale[..., 0], scale_type), None if sym else zero_point[..., 0].astype(np.uint8))


def _parameters(weights: Array, bits: int, sym: bool) -> tuple[Array, Array]:
    """Scale and zero point over the last axis, float32, kept as a dimension of one."""
    low = weights.min(axis=-1, keepdims=True)
    high = weights.max(axis=-1, keepdims=True)
    if sym:
        scale = np.where(np.abs(low) >= high, np.abs(low), -high) / np.float32(2 ** (bits - 1))
    else:
        low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        scale = (high - low) / np.float32(2**bits - 1)
    scale = np.where(np.abs(scale) < _EPS, _EPS, scale)
    zero_point = np.clip(-np.rint(low / scale), 0, 2**bits - 1)
    return scale, zero_point


def _require_finite(values: Array) -> None:
    if not np.isfinite(values).all():
        _check(1)


def _check(status: int) -> None:
    if status == 1:
        raise CheckpointError(
            "The weights hold NaN or infinite values.",
            "The checkpoint is damaged, or it was saved from a diverged training run; take another revision.",
        )
    if status == 2:
        raise MemoryError

"""Raw bytes of OpenVINO's element types to float32, exactly.

u2, u4 and i4 are packed low bits first. Three bytes hold eight u3 or four u6: low bits in the first two, high bits in the third,
each from the top down. Small floats are read through a table of all their values: nf4 (QLoRA, arXiv 2305.14314, appendix E),
f4e2m1, f8e4m3, f8e5m2 and f8e8m0 (OCP formats). tests/validate/test_weights.py compares every code with OpenVINO's own Convert.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import dtypes

Array = npt.NDArray[Any]

_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
INTEGERS = {"u2": 2, "u3": 3, "i4": 4, "u4": 4, "u6": 6, "i8": 8, "u8": 8}
TABLES = {"nf4": 4, "f4e2m1": 4, "f8e4m3": 8, "f8e5m2": 8, "f8e8m0": 8}
FLOATS = {"f64": 64} | {kind.element: kind.bits for kind in dtypes.FLOATS}
COUNTS = ("i32", "i64")
"""Types of numbers that scripts write as integers (a minus one); those of 2^24 and more are rounded."""


def readable(element: str) -> bool:
    """Tell whether `decode` knows an element type."""
    return element in INTEGERS or element in TABLES or element in FLOATS or element in COUNTS


def decode(data: Array, element: str, start: int, stop: int) -> Array:
    """Return elements [start, stop) of a constant as a flat float32 array.

    Args:
        data: `Constant.data` as OpenVINO gives it: packed bytes for less than 8 bits, bfloat16 under another 16-bit type.
        element: OpenVINO's name of the type.
        start: first element, counted flat.
        stop: the element after the last.
    """
    flat = data.reshape(-1)
    if element == "bf16":
        return (flat.view(np.uint16)[start:stop].astype(np.uint32) << 16).view(np.float32)
    if element in FLOATS or element in COUNTS:
        return flat[start:stop].astype(np.float32)
    bits = INTEGERS.get(element) or TABLES[element]
    codes = _codes(flat.view(np.uint8), bits, start, stop)
    if element in TABLES:
        picked: Array = levels(element)[codes]
        return picked
    if element == "i4":
        return ((codes ^ 8).astype(np.int8) - 8).astype(np.float32)
    return (codes.view(np.int8) if element == "i8" else codes).astype(np.float32)


def _codes(raw: Array, bits: int, start: int, stop: int) -> Array:
    """Unpack to one code a byte."""
    if bits == 8:
        return raw[start:stop]
    if bits in (3, 6):
        return _split_codes(raw, bits, start, stop)
    per = 8 // bits
    some = raw[start // per : -(-stop // per)]
    codes = np.empty((some.size, per), np.uint8)
    for place in range(per):
        np.right_shift(some, place * bits, out=codes[:, place])
    codes &= (1 << bits) - 1
    skip = start % per
    return codes.reshape(-1)[skip : skip + stop - start]


def _split_codes(raw: Array, bits: int, start: int, stop: int) -> Array:
    """Unpack u3 or u6, whose low and high bits lie apart."""
    per, high = 24 // bits, bits // 3
    low = bits - high
    triples = raw[start // per * 3 : -(-stop // per) * 3].reshape(-1, 3)
    codes = np.empty((len(triples), per), np.uint8)
    in_byte = per // 2
    for place in range(per):
        lower = triples[:, place // in_byte] >> (8 - low * (place % in_byte + 1)) & ((1 << low) - 1)
        upper = triples[:, 2] >> (8 - high * (place + 1)) & ((1 << high) - 1)
        codes[:, place] = lower | upper << low
    skip = start % per
    return codes.reshape(-1)[skip : skip + stop - start]


@cache
def levels(element: str) -> Array:
    """Return the value of every code of a small float type, float32 [2^bits] (NaN where it is none)."""
    if element == "nf4":
        return np.array(_NF4, np.float32)
    codes = np.arange(2 ** TABLES[element], dtype=np.int64)
    if element == "f8e8m0":
        values = np.exp2(codes.astype(np.float64) - 127)
        values[255] = np.nan
        return values.astype(np.float32)
    mantissa_bits, exponent_bits = {"f4e2m1": (1, 2), "f8e4m3": (3, 4), "f8e5m2": (2, 5)}[element]
    bias = 2 ** (exponent_bits - 1) - 1
    exponent = (codes >> mantissa_bits) & (2**exponent_bits - 1)
    mantissa = (codes & (2**mantissa_bits - 1)) / 2.0**mantissa_bits
    normal = np.exp2(exponent.astype(np.float64) - bias) * (1 + mantissa)
    values = np.where(exponent == 0, np.exp2(1.0 - bias) * mantissa, normal)
    if element == "f8e4m3":
        values[(codes & 0x7F) == 0x7F] = np.nan
    if element == "f8e5m2":
        special = exponent == 2**exponent_bits - 1
        values = np.where(special, np.where(mantissa == 0, np.inf, np.nan), values)
    negative = codes >> (mantissa_bits + exponent_bits) == 1
    return np.where(negative, -values, values).astype(np.float32)

"""A weight as an artifact would hold it: quantized by our own quantizers, and de-quantized as its runtime does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.gguf.mix import NARROWER
from ...core.errors import UsageError
from ...quantize import integer
from ...quantize.assign import adjusted_group
from ...quantize.ggml import rows as ggml_rows
from ...quantize.ggml.types import TYPES
from ...quantize.scheme import EXACT_MODES

Array = npt.NDArray[Any]
BLOCK = 1 << 22
"""Elements that are quantized at a time."""
SHORT = {"int4": "int4_asym", "int8": "int8_asym"}

__all__ = ["Codec", "codec"]


@dataclass(frozen=True)
class Codec:
    """How one weight is stored; make one with `codec`.

    Attributes:
        name: a mode of NNCF ("int4_sym", …) or a ggml type ("q4_k", …), whichever has the name.
        group: of an int4 mode: weights that share a scale; -1: the whole row.
    """

    name: str
    group: int = -1

    def __str__(self) -> str:
        return f"{self.name}/{self.group}" if self.group != -1 else self.name

    @property
    def is_ggml(self) -> bool:
        """True for a type of ggml."""
        return self.name in TYPES

    def fitted(self, columns: int) -> Codec:
        """Return what a row of that length gets in its place, by the rules of NNCF's "adjust" and of llama-quantize."""
        if self.is_ggml:
            names = (self.name, NARROWER.get(self.name, self.name), "f16")
            return Codec(next(name for name in names if TYPES[name].fits(columns)))
        if self.group == -1 or columns % self.group == 0:
            return self
        group = adjusted_group(columns)
        return Codec("int8_asym") if group is None else Codec(self.name, group)

    def bytes(self, rows: int, columns: int) -> int:
        """Bytes that a weight takes, scales and zero points included."""
        if self.is_ggml:
            return rows * TYPES[self.name].row_bytes(columns)
        bits, groups = int(self.name[3]), rows if self.group == -1 else rows * (columns // self.group)
        zeros = 0 if self.name.endswith("_sym") else (groups * bits + 7) // 8
        return (rows * columns * bits + 7) // 8 + groups * 2 + zeros

    def held(self, weights: Array) -> Array:
        """Return weights [rows, columns] as the artifact would hold them, de-quantized, float32.

        Args:
            weights: uint16 (the bits of bfloat16), float16 or float32. The codec must fit the columns.

        Raises:
            CheckpointError: a weight is NaN or infinite, or too large for the type.
        """
        out = np.empty(weights.shape, np.float32)
        step = max(1, BLOCK // weights.shape[1])
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            out[part] = self._ggml(weights[part]) if self.is_ggml else self._integer(weights[part])
        return out

    def _ggml(self, weights: Array) -> Array:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        kind = TYPES[self.name]
        made = dequantize(ggml_rows.quantize(weights, kind), GGMLQuantizationType(kind.number))
        return np.asarray(made, np.float32).reshape(weights.shape)

    def _integer(self, weights: Array) -> Array:
        """As OpenVINO computes it: (q - z) * s in float32, with the scale as float16 holds it."""
        rows, columns = weights.shape
        done = integer.compress(weights, self.name, self.group)
        signed = self.name.endswith("_sym")
        data = done.data.view(np.int8) if signed and self.name[3] == "8" else done.data
        values = _unpacked(data, rows * columns, signed=signed) if self.name[3] == "4" else data
        levels = values.astype(np.float32).reshape(rows, done.scale.shape[1], -1)
        if done.zero_point is not None:
            levels -= done.zero_point.reshape(rows, -1, 1)
        levels *= done.scale.astype(np.float32)[:, :, None]
        return levels.reshape(rows, columns)


def codec(name: str, group: int | None = None) -> Codec:
    """Return a codec by a user's words.

    Args:
        name: "int4", "int8", a mode of NNCF that our own quantizer has, or a type of ggml; in any case.
        group: for an int4 mode: weights that share a scale, -1 for the whole row; None: 128.

    Raises:
        UsageError: there is no such name, or a group where none belongs.
    """
    name = SHORT.get(name.lower(), name.lower())
    if name in EXACT_MODES and name.startswith("int4"):
        if group is not None and (group == 0 or group < -1):
            raise UsageError(f"--group-size must be positive, or -1 for one scale per row, not {group}.")
        return Codec(name, 128 if group is None else group)
    if name not in EXACT_MODES and name not in TYPES:
        known = ", ".join([*SHORT, *EXACT_MODES, *TYPES])
        raise UsageError(f"{name!r} is not a precision of one weight.", f"One of: {known}.")
    if group not in (None, -1):
        raise UsageError(f"{name} takes no --group-size.", "It belongs to int4.")
    return Codec(name)


def _unpacked(data: Array, count: int, *, signed: bool) -> Array:
    """Return four-bit values one a byte, low nibble first: int8, or uint8."""
    values = np.empty(2 * len(data), np.uint8)
    values[0::2], values[1::2] = data & 15, data >> 4
    values = values[:count]
    return ((values ^ 8).astype(np.int8) - np.int8(8)) if signed else values

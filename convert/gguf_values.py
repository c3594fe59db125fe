"""Typed values of GGUF's key-value pairs, and their bytes: what a family states of itself, and what a head is packed from."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt


class Kind(IntEnum):
    """`enum gguf_type`."""

    U8 = 0
    U16 = 2
    U32 = 4
    I32 = 5
    F32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9


_PACK = {Kind.U16: "<H", Kind.U32: "<I", Kind.I32: "<i", Kind.F32: "<f", Kind.BOOL: "<?"}
_DTYPE = {Kind.U8: "u1", Kind.U32: "<u4", Kind.I32: "<i4", Kind.F32: "<f4", Kind.BOOL: "u1"}


@dataclass(frozen=True)
class Value:
    """One value: for an array, `kind` is that of its elements and `content` a sequence."""

    kind: Kind
    content: Any
    array: bool = False

    def pack(self) -> bytes:
        """Return type and value as they stand in the file."""
        if not self.array:
            return struct.pack("<I", self.kind) + _scalar(self.kind, self.content)
        head = struct.pack("<IIQ", Kind.ARRAY, self.kind, len(self.content))
        if self.kind is Kind.STRING:
            return head + b"".join(map(packed_text, self.content))
        return head + np.asarray(self.content, _DTYPE[self.kind]).tobytes()


Keys = Mapping[str, Value]


def u16(number: int) -> Value:
    """Return a uint16."""
    return Value(Kind.U16, number)


def u32(number: int) -> Value:
    """Return a uint32."""
    return Value(Kind.U32, number)


def i32(number: int) -> Value:
    """Return an int32."""
    return Value(Kind.I32, number)


def f32(number: float) -> Value:
    """Return a float32."""
    return Value(Kind.F32, number)


def boolean(truth: bool) -> Value:
    """Return a bool."""
    return Value(Kind.BOOL, truth)


def string(text: str) -> Value:
    """Return a string."""
    return Value(Kind.STRING, text)


def array(kind: Kind, content: Sequence[Any] | npt.NDArray[Any]) -> Value:
    """Return an array of values of one kind."""
    return Value(kind, content, array=True)


def _scalar(kind: Kind, content: Any) -> bytes:
    return packed_text(content) if kind is Kind.STRING else struct.pack(_PACK[kind], content)


def packed_text(text: str | bytes) -> bytes:
    """Return length and bytes of a text, as they stand in the file."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def epsilon_key(*, layer_norm: bool) -> str:
    """Return the key, without "ARCH." in front, of the epsilon of a model's norms: LayerNorms, or RMS norms."""
    return "attention.layer_norm_epsilon" if layer_norm else "attention.layer_norm_rms_epsilon"

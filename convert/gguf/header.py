"""The head of a GGUF file, version 3: typed key-value pairs and the table of tensors, as bytes.

Layout (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), little-endian: magic, version, counts; the pairs; the table
with each tensor's name, dimensions (fastest first), type and offset; zeros up to the alignment; then the tensors' data.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from ...quantize.ggml.types import Type

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
"""Bytes: where each tensor's data may begin (`GGUF_DEFAULT_ALIGNMENT`)."""


class Kind(IntEnum):
    """`enum gguf_type`."""

    U16 = 2
    U32 = 4
    I32 = 5
    F32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9


_PACK = {Kind.U16: "<H", Kind.U32: "<I", Kind.I32: "<i", Kind.F32: "<f", Kind.BOOL: "<?"}
_DTYPE = {Kind.U32: "<u4", Kind.I32: "<i4", Kind.F32: "<f4", Kind.BOOL: "u1"}


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
            return head + b"".join(map(_string, self.content))
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


@dataclass(frozen=True)
class Entry:
    """One row of the table of tensors.

    `shape` is [rows, cols] or [n], slowest first, as in the checkpoint; `offset` counts from the first byte of the data.
    """

    name: str
    shape: tuple[int, ...]
    type: Type
    offset: int

    def pack(self) -> bytes:
        """Return it as it stands in the file."""
        dimensions = struct.pack(f"<I{len(self.shape)}Q", len(self.shape), *reversed(self.shape))
        return _string(self.name) + dimensions + struct.pack("<IQ", self.type.number, self.offset)


def pack(keys: Keys, entries: Sequence[Entry]) -> bytes:
    """Return all bytes before the first tensor's data."""
    head = MAGIC + struct.pack("<IQQ", VERSION, len(entries), len(keys))
    pairs = b"".join(_string(key) + value.pack() for key, value in keys.items())
    return pad(head + pairs + b"".join(entry.pack() for entry in entries))


def pad(data: bytes) -> bytes:
    """Append zeros up to the alignment."""
    return data + bytes(aligned(len(data)) - len(data))


def aligned(size: int) -> int:
    """Round up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _scalar(kind: Kind, content: Any) -> bytes:
    return _string(content) if kind is Kind.STRING else struct.pack(_PACK[kind], content)


def _string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data

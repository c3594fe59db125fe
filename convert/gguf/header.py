"""The head of a GGUF file, version 3: typed key-value pairs and the table of tensors, as bytes.

Layout (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), little-endian: magic, version, counts; the pairs; the table
with each tensor's name, dimensions (fastest first), type and offset; zeros up to the alignment; then the tensors' data.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ...quantize.ggml.types import Type
from ..gguf_values import Keys, Kind, Value, array, boolean, f32, i32, packed_text, string, u16, u32

__all__ = [
    "ALIGNMENT", "MAGIC", "VERSION", "Entry", "Keys", "Kind", "Value", "aligned", "array", "boolean", "f32", "i32", "pack", "pad",
    "string", "u16", "u32",
]  # fmt: skip

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
"""Bytes: where each tensor's data may begin (`GGUF_DEFAULT_ALIGNMENT`)."""


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
        return packed_text(self.name) + dimensions + struct.pack("<IQ", self.type.number, self.offset)


def pack(keys: Keys, entries: Sequence[Entry]) -> bytes:
    """Return all bytes before the first tensor's data."""
    head = MAGIC + struct.pack("<IQQ", VERSION, len(entries), len(keys))
    pairs = b"".join(packed_text(key) + value.pack() for key, value in keys.items())
    return pad(head + pairs + b"".join(entry.pack() for entry in entries))


def pad(data: bytes) -> bytes:
    """Append zeros up to the alignment."""
    return data + bytes(aligned(len(data)) - len(data))


def aligned(size: int) -> int:
    """Round up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT

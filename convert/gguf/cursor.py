"""A position in the head of a GGUF: every reading method first asks whether the bytes are there."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ...core.errors import ArtifactError
from ...core.paths import join_hint

MAX_HEAD = 1 << 28
"""Bytes of keys and table; the largest vocabularies take a tenth of it."""
MAX_STRINGS = 1 << 22
"""Strings in all arrays together."""
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
"""`enum gguf_type` → struct's code."""
_BOOL, _STRING, _ARRAY = 7, 8, 9
DAMAGED = "The file is damaged or was not written by a GGUF writer; take it again from its source."


class Cursor:
    """Reads numbers, texts and arrays one after the other.

    Attributes:
        at: the position.
        end: how far reading may go.
        file_size: bytes of the file.
    """

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        """Begin at the first byte of a mapped file."""
        self._path = path
        self._map = mapped
        self.file_size = len(mapped)
        self._strings = 0
        self.at = 0
        self.end = min(len(mapped), MAX_HEAD)

    def fail(self, reason: str) -> NoReturn:
        """Raise ArtifactError with the position."""
        raise ArtifactError(f"{self._path}: {reason} (at byte {self.at:,}).", join_hint(self._path) or DAMAGED)

    def take(self, count: int, what: str) -> int:
        """Step over `count` bytes and return where they begin."""
        if count > self.end - self.at:
            where = "the file has" if self.end == self.file_size else "a head may have"
            self.fail(f"{what} would take {count:,} bytes, more than {where} left")
        start, self.at = self.at, self.at + count
        return start

    def scalar(self, code: str) -> Any:
        """Read a number by its code in `struct`."""
        return struct.unpack_from(code, self._map, self.take(struct.calcsize(code), "a number"))[0]

    def raw(self, what: str) -> bytes:
        """Read a text's bytes."""
        length = self.scalar("<Q")
        start = self.take(length, what)
        return self._map[start : start + length]

    def name(self, what: str) -> str:
        """Read a name: UTF-8 without control characters, which a terminal would obey."""
        try:
            text = self.raw(what).decode()
        except UnicodeDecodeError:
            self.fail(f"{what} is not UTF-8")
        if not text.isprintable():
            self.fail(f"{what} holds control characters")
        return text

    def value(self, key: str) -> Any:
        """Read a type and a value of it: a number, text, list of texts, or numpy array that the file backs."""
        kind = self.scalar("<I")
        if kind == _ARRAY:
            return self._array(key)
        if kind == _STRING:
            return self.raw(f"the text of {key}").decode("utf-8", "replace")
        if kind not in _SCALARS:
            self.fail(f"{key} has the unknown type {kind}")
        return self.scalar(_SCALARS[kind])

    def _array(self, key: str) -> Any:
        kind, count = self.scalar("<I"), self.scalar("<Q")
        if kind == _STRING:
            return self._texts(key, count)
        if kind not in _SCALARS:  # arrays in arrays too, which ggml does not read either
            self.fail(f"{key} is an array of the type {kind}, which cannot be read")
        dtype = np.dtype("u1" if kind == _BOOL else _SCALARS[kind])
        start = self.take(count * dtype.itemsize, f"the array {key}")
        values = np.frombuffer(self._map, dtype, count, start)
        return values != 0 if kind == _BOOL else values

    def _texts(self, key: str, count: int) -> list[str]:
        """Texts of a vocabulary need not be UTF-8; what is not survives as surrogates."""
        self._strings += count
        if count * 8 > self.end - self.at or self._strings > MAX_STRINGS:
            self.fail(f"the array {key} claims {count:,} texts, more than can be")
        whole, at, end, found = self._map, self.at, self.end, []
        length_at = struct.Struct("<Q").unpack_from
        for _ in range(count):
            start = at + 8
            if start > end or (stop := start + length_at(whole, at)[0]) > end:
                self.at = at
                self.fail(f"a text of {key} is longer than the file")
            found.append(whole[start:stop].decode("utf-8", "surrogateescape"))
            at = stop
        self.at = at
        return found

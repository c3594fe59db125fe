"""Read the head of a GGUF file without trusting it: nothing is allocated or believed before the file's size has been asked.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. What ggml's own reader
(`ggml/src/gguf.cpp`) refuses is refused here too, and an array that the file cannot hold, which gguf-py allocates.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...core import bus_guard
from ...core.errors import ArtifactError
from ...core.paths import join_hint
from .cursor import DAMAGED, Cursor
from .header import ALIGNMENT
from .storage import foreign, storage

VERSIONS = (2, 3)
MAX_TENSORS = 1 << 18
MAX_ELEMENTS = 1 << 60
"""Of a tensor, dimensions of 0 left out; numpy has no room for more, ggml for eight times as many."""
MAX_DIMS = 4
"""`GGML_MAX_DIMS`."""
MAX_NAME = 64
"""Bytes of a tensor's name, with the zero behind it (`GGML_MAX_NAME`)."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file.

    Attributes:
        name: in the file.
        shape: slowest dimension first, as in a checkpoint: [rows, cols].
        type: ggml's name of the storage type in lower case ("q4_k").
        offset: of its first byte, counted from the first byte of `file`.
        bytes: of its data, without padding.
        file: the file that holds it.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    bytes: int
    file: Path

    @property
    def cols(self) -> int:
        """Elements of a row."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """Rows of all slower dimensions together; a vector is one row."""
        return math.prod(self.shape[:-1])

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Head:
    """What stands before the data of one file."""

    path: Path
    version: int
    keys: dict[str, Any]
    tensors: dict[str, TensorInfo]
    map: mmap.mmap

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.map)


def parse(path: Path) -> Head:
    """Map a file and read its head.

    Raises:
        ArtifactError: it is not a GGUF, or damaged, or claims more than it holds; the message names the offset.
    """
    try:
        with path.open("rb") as file:
            start = file.read(24)
            if len(start) < 24 or start[:4] != b"GGUF":
                raise ArtifactError(f"{path} is not a GGUF file.", join_hint(path) or _hint(start))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            bus_guard.watch(mapped, path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.", "Check the path and permissions.") from error
    at = Cursor(path, mapped)
    version, tensors, pairs = _start(path, at)
    keys = _keys(at, pairs)
    alignment = _alignment(at, keys)
    table = [_entry(at) for _ in range(tensors)]
    data = -(-at.at // alignment) * alignment
    infos: dict[str, TensorInfo] = {}
    for entry in table:
        if entry.name in infos:
            at.fail(f"it has two tensors {entry.name}")
        infos[entry.name] = _place(path, at, entry, data, alignment)
    _require_apart(path, infos)
    return Head(path, version, keys, infos, mapped)


class _Entry(NamedTuple):
    """A row of the table as it stands there."""

    name: str
    shape: tuple[int, ...]
    number: int
    offset: int


def _start(path: Path, at: Cursor) -> tuple[int, int, int]:
    """Return version, number of tensors and number of keys."""
    at.take(4, "the letters GGUF")
    version = at.scalar("<I")
    if version & 0xFFFF == 0:
        raise ArtifactError(f"{path} is a big-endian GGUF.", "Take the little-endian one.")
    if version not in VERSIONS:
        raise ArtifactError(
            f"{path} is of GGUF version {version}; versions 2 and 3 can be read.",
            "Convert the model again with a present converter.",
        )
    tensors, pairs = at.scalar("<Q"), at.scalar("<Q")
    # the smallest entries that there can be have 24 and 13 bytes
    if pairs * 13 + tensors * 24 > at.end - at.at or tensors > MAX_TENSORS:
        at.fail(f"it claims {pairs:,} keys and {tensors:,} tensors, more than it can hold")
    return version, tensors, pairs


def _keys(at: Cursor, count: int) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for _ in range(count):
        key = at.name("a key")
        if not key or key in keys:
            at.fail(f"the key {key} appears twice" if key else "a key is empty")
        keys[key] = at.value(key)
    return keys


def _alignment(at: Cursor, keys: dict[str, Any]) -> int:
    alignment = keys.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        at.fail(f"general.alignment is {alignment!r}, which is not a power of two")
    return int(alignment)


def _entry(at: Cursor) -> _Entry:
    name = at.name("a tensor's name")
    if len(name.encode()) >= MAX_NAME:
        at.fail(f"the tensor's name {name[:MAX_NAME]}… has more than {MAX_NAME - 1} bytes")
    dims = at.scalar("<I")
    if dims > MAX_DIMS:
        at.fail(f"{name} has {dims:,} dimensions; there are at most {MAX_DIMS}")
    shape = [at.scalar("<Q") for _ in range(dims)]
    return _Entry(name, tuple(reversed(shape)), at.scalar("<I"), at.scalar("<Q"))


def _place(path: Path, at: Cursor, entry: _Entry, data: int, alignment: int) -> TensorInfo:
    """Check where an entry's data lie; `data` is the first byte of all data."""
    name, shape, number, offset = entry
    kind = storage(number)
    if kind is None and (known := foreign(number)):
        raise ArtifactError(f"{path}: {name} is stored as {known[0]}.", known[1])
    if kind is None:
        at.fail(f"{name} has the unknown type {number}")
    if math.prod(n or 1 for n in shape) >= MAX_ELEMENTS:
        at.fail(f"{name} claims more elements than can be counted")
    cols = shape[-1] if shape else 1
    if cols % kind.block:
        at.fail(f"{name} has rows of {cols:,}, and {kind.name} stores blocks of {kind.block}")
    if offset % alignment:
        at.fail(f"the data of {name} begin at {offset:,}, which is not a multiple of {alignment}")
    size = math.prod(shape) // kind.block * kind.bytes
    end = data + offset + size
    if end > at.file_size:
        raise ArtifactError(
            f"{path} is truncated: {name} would end at byte {end:,}, the file has {at.file_size:,}.",
            join_hint(path) or "Download or convert it again.",
        )
    return TensorInfo(name, shape, kind.name, data + offset, size, path)


def _require_apart(path: Path, infos: dict[str, TensorInfo]) -> None:
    last = None
    for info in sorted((info for info in infos.values() if info.bytes), key=lambda info: info.offset):
        if last and info.offset < last.offset + last.bytes:
            raise ArtifactError(f"{path}: the data of {last.name} and {info.name} overlap.", DAMAGED)
        last = info


def _hint(start: bytes) -> str:
    if start.startswith(b"version https"):
        return "It is a Git-LFS pointer, not the model: run `git lfs pull` in the checkout."
    if start[:4] in (b"ggjt", b"lmgg", b"tjgg", b"fmgg"):
        return "It is of a format before GGUF: convert the model again."
    return "GGUF files begin with the letters GGUF; download it again if this should be one."

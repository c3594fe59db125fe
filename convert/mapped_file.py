"""A shard in memory without being read: tensors by name, and their data as views of the mapped file."""

from __future__ import annotations

import copy
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import bus_guard
from ..core.dtypes import BY_STORED, NAMED
from ..core.errors import CheckpointError

ITEM_SIZE = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "U16": 2, "U32": 4,
    "U64": 8, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
"""Bytes of an element, by safetensors' name of its type."""


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies: `dtype` is safetensors' name, `start` and `end` are byte offsets in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its values in memory, which a quantized file stores in fewer."""
        return self.size * ITEM_SIZE[self.dtype]


@dataclass(frozen=True)
class Spread(TensorInfo):
    """A tensor whose rows lie in groups of a larger one's: `taken` of them, and a group begins `step` bytes behind the last."""

    taken: int
    step: int


class MappedFile:
    """One open shard, whatever its format: `tensors` says what lies where."""

    def __init__(self, path: Path, tensors: Mapping[str, TensorInfo]) -> None:
        self.path = path
        self.tensors = tensors
        with path.open("rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        bus_guard.watch(self._map, path)

    def view(self, info: TensorInfo) -> npt.NDArray[Any]:
        """Return the tensor as a read-only view of the file, of one that is spread a copy; bfloat16 as its bits in uint16.

        Raises:
            CheckpointError: a type that is no floating-point weight of 16 or 32 bits, or a file that was cut short meanwhile.
        """
        bus_guard.require_whole(self.path)
        if info.dtype not in BY_STORED:
            raise CheckpointError(
                f"{self.path.name}: {info.name} has the type {info.dtype}; weights of {NAMED} can be converted.",
                "Take the checkpoint in one of these types (an unquantized revision of the model).",
            )
        if isinstance(info, Spread):
            return self._gathered(info, 0, info.shape[0])
        flat = np.frombuffer(self._map, BY_STORED[info.dtype].numpy, info.size, info.start)
        return flat.reshape(info.shape)

    def rows(self, info: TensorInfo, start: int, stop: int) -> npt.NDArray[Any]:
        """Return elements [start, stop) of a tensor's first dimension; as `view` otherwise."""
        if isinstance(info, Spread) and info.dtype in BY_STORED:
            bus_guard.require_whole(self.path)
            return self._gathered(info, start, stop)
        return self.view(info)[start:stop]

    def _gathered(self, info: Spread, start: int, stop: int) -> npt.NDArray[Any]:
        """Return rows [start, stop) of a tensor that is spread; those of one group are a view."""
        rest = info.shape[1:]
        kind, count = BY_STORED[info.dtype].numpy, info.taken * math.prod(rest)
        first = start // info.taken
        parts = [
            np.frombuffer(self._map, kind, count, info.start + group * info.step).reshape(info.taken, *rest)
            for group in range(first, max(-(-stop // info.taken), first + 1))
        ]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return whole[start - first * info.taken : stop - first * info.taken]

    @property
    def address(self) -> int:
        """Where the file lies in memory."""
        return int(np.frombuffer(self._map, np.uint8, 1).ctypes.data)

    def with_tensors(self, tensors: Mapping[str, TensorInfo]) -> MappedFile:
        """Return the same open file with other names for what lies in it."""
        other = copy.copy(self)
        other.tensors = tensors
        return other

    def release(self, start: int, end: int) -> None:
        """Tell the kernel that the pages of [start, end) are not needed again, so that memory stays flat."""
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, first, end - first)


def stand_in(path: Path) -> str | None:
    """Name the two things that people most often find in a shard's place, with what to do about each; else None."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return "It is a Git-LFS pointer, not the weights: run `git lfs pull` in the checkout."
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "It is a web page saved in the file's place: download the file again."
    return None

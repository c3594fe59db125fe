"""Any GGUF, opened and checked: key-values, tensors, their bytes and values; of a split file all parts.

file = open_gguf(path)
file.keys["general.architecture"], file.tensors["output.weight"].type
file.dequantized("output.weight", 0, 32)
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import ArtifactError
from .parse import Head, TensorInfo, parse
from .storage import find

__all__ = ["GgufFile", "TensorInfo", "decode", "open_gguf", "parts"]

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
"""`llama_split_path` of llama.cpp."""


@dataclass(frozen=True)
class GgufFile:
    """An open GGUF.

    Attributes:
        path: the file that was asked for; of a split one the first part.
        version: of the format.
        keys: key → int, float, bool, str, list of str, or a numpy array of numbers; texts that are not UTF-8 survive as
            surrogates in lists. Those of the first part.
        tensors: name → where and how it is stored, in the order of the files.
    """

    path: Path
    version: int
    keys: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    heads: tuple[Head, ...]

    @property
    def files(self) -> list[Path]:
        """All parts in order."""
        return [head.path for head in self.heads]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(head.size for head in self.heads)

    @property
    def arch(self) -> str:
        """general.architecture, or an empty text."""
        value = self.keys.get("general.architecture")
        return value if isinstance(value, str) else ""

    @cached_property
    def _maps(self) -> dict[Path, mmap.mmap]:
        return {head.path: head.map for head in self.heads}

    def own(self, key: str, default: Any = None) -> Any:
        """Return the value of a key of the architecture, given without "ARCH." in front."""
        return self.keys.get(f"{self.arch}.{key}", default)

    def info(self, name: str) -> TensorInfo:
        """Describe a tensor. Raises ArtifactError if there is none of that name."""
        if name not in self.tensors:
            raise ArtifactError(
                f"{self.path} has no tensor {name}.", "It holds another architecture, or not all of it."
            )
        return self.tensors[name]

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the tensor's bytes, uint8 [rows, row bytes], a read-only view of the mapped file."""
        info = self.info(name)
        flat = np.frombuffer(self._maps[info.file], np.uint8, info.bytes, info.offset)
        return flat.reshape(info.rows, -1) if info.bytes else flat.reshape(info.rows, 0)

    def dequantized(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Return the values of rows [start, stop), float32 [rows, cols]; a vector is one row.

        Raises:
            ArtifactError: a type without values (integers), or one that the installed gguf cannot decode.
        """
        info = self.info(name)
        rows = self.data(name)[start:stop]
        return decode(rows, info.type, name).reshape(len(rows), info.cols)

    def release(self, name: str) -> None:
        """Tell the kernel that a tensor's pages are not needed again, so that memory stays flat."""
        info = self.info(name)
        first = info.offset // mmap.PAGESIZE * mmap.PAGESIZE
        if info.bytes:
            self._maps[info.file].madvise(mmap.MADV_DONTNEED, first, info.offset + info.bytes - first)


def decode(rows: npt.NDArray[np.uint8], kind: str, name: str) -> npt.NDArray[np.float32]:
    """Return the values of rows as a file stores them, uint8 [rows, row bytes] → float32 [rows, cols].

    Args:
        rows: the bytes.
        kind: ggml's name of their type in lower case.
        name: of the tensor, for messages.

    Raises:
        ArtifactError: a type without values (integers), or one that the installed gguf cannot decode.
    """
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    if not rows.size:  # a tensor may have columns of no bytes, which gguf cannot reshape
        return np.empty((len(rows), 0), np.float32)
    try:
        values = dequantize(rows, GGMLQuantizationType(find(kind).number))
    except NotImplementedError as error:
        raise ArtifactError(
            f"{name} is stored as {kind}, which gguf cannot decode.", "Take a GGUF of another type."
        ) from error
    return np.asarray(values, np.float32)


def open_gguf(path: Path) -> GgufFile:
    """Open a GGUF; any part of a split one opens all of them.

    Raises:
        ArtifactError: it is absent, no GGUF, damaged or hostile, or a part is missing.
    """
    if not path.is_file():
        raise ArtifactError(f"There is no file {path}.", "Check the path.")
    head = parse(path)
    count = _split_count(head)
    if count == 1:
        return GgufFile(path, head.version, head.keys, head.tensors, (head,))
    paths = _part_paths(head, count)
    heads = tuple(head if other == path else parse(other) for other in paths)
    tensors: dict[str, TensorInfo] = {}
    for number, part in enumerate(heads):
        if _split_count(part) != count or part.keys.get("split.no") != number:
            raise ArtifactError(
                f"{part.path} says that it is part {part.keys.get('split.no')} of {_split_count(part)}, counted from 0; by "
                f"its name it is {number} of {count}.",
                "The parts are of different models, or were renamed.",
            )
        twice = tensors.keys() & part.tensors.keys()
        if twice:
            raise ArtifactError(
                f"{part.path} repeats the tensor {min(twice)} of another part.", "Take all parts again."
            )
        tensors |= part.tensors
    promised = heads[0].keys.get("split.tensors.count")
    if promised is not None and promised != len(tensors):
        raise ArtifactError(
            f"The {count} parts of {paths[0]} hold {len(tensors):,} tensors; {promised:,} are promised.",
            "The parts are of different models; take all of them again.",
        )
    return GgufFile(paths[0], heads[0].version, heads[0].keys, tensors, heads)


def parts(path: Path) -> list[Path]:
    """Return the paths of all parts that a file's name promises, itself alone if it is not named as a part."""
    found = _PART.fullmatch(path.name)
    if found is None or int(found["count"]) == 0:
        return [path]
    count = int(found["count"])
    return [path.with_name(f"{found['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)]


def _joined(head: Head) -> bool:
    """Tell whether another file begins behind the last tensor's data, within the padding that is there."""
    end = max((info.offset + info.bytes for info in head.tensors.values()), default=head.size)
    return head.map.find(b"GGUF", end, end + 4096) >= 0


def _split_count(head: Head) -> int:
    count = head.keys.get("split.count", 1)
    return count if type(count) is int and count > 1 else 1


def _part_paths(head: Head, count: int) -> list[Path]:
    found = _PART.fullmatch(head.path.name)
    if found is None or int(found["count"]) != count or count > 99_999:
        raise ArtifactError(
            f"{head.path} is one of {count:,} parts, but is not named as one.",
            f"The parts of a model are named NAME-00001-of-{count:05d}.gguf, and lie in one folder."
            + (
                " This file seems to be several of them joined, which does not make one of them."
                if _joined(head)
                else ""
            ),
        )
    paths = parts(head.path)
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ArtifactError(
            f"{len(missing):,} of {count:,} parts are missing: {', '.join(missing[:3])}.", "All belong in one folder."
        )
    return paths

"""An importance matrix that llama.cpp's llama-imatrix wrote: for each tensor the mean square of each input.

Both of its forms are read: the GGUF of 2025 (NAME.in_sum2 and NAME.counts) and the older .dat. What a sum is divided by, and what
stands for inputs that no text reached, is as in llama-quantize (`common/imatrix-loader.cpp`, `tools/quantize/quantize.cpp`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import limits
from ...core.errors import ArtifactError
from .header import Keys, string, u32
from .read import GgufFile, open_gguf

SUMS, COUNTS = ".in_sum2", ".counts"
_LONGEST = 127
"""Bytes of a text that llama-quantize puts into a file."""
_DAMAGED = "Make it again with llama-imatrix."


@dataclass(frozen=True)
class ImportanceFile:
    """What a file holds.

    Attributes:
        path: of the file.
        importance: GGUF name of a tensor → float32 [cols].
        chunks: pieces of text that it was computed on; 0: unknown.
        dataset: the text's name, if it is stated.
    """

    path: Path
    importance: Mapping[str, npt.NDArray[Any]]
    chunks: int
    dataset: str | None

    def keys(self) -> Keys:
        """Return what llama-quantize says of it in the result; of its path only the name, since that differs by machine."""
        keys = {"quantize.imatrix.file": string(_short(self.path.name))}
        if self.dataset:
            keys["quantize.imatrix.dataset"] = string(_short(self.dataset))
        keys["quantize.imatrix.entries_count"] = u32(len(self.importance))
        if self.chunks:
            keys["quantize.imatrix.chunks_count"] = u32(self.chunks)
        return keys

    def describe(self) -> str:
        """One line for a person."""
        on = f", {self.chunks:,} chunks" if self.chunks else ""
        of = f" of {self.dataset}" if self.dataset else ""
        return f"{self.path.name} ({len(self.importance):,} tensors{on}{of})"


def read(path: Path) -> ImportanceFile:
    """Read either form.

    Raises:
        ArtifactError: it is absent, neither form, or damaged.
    """
    if not path.is_file():
        raise ArtifactError(f"There is no file {path}.", "Give a file that llama-imatrix wrote.")
    with path.open("rb") as file:
        modern = file.read(4) == b"GGUF"
    return _read_gguf(path) if modern else _read_legacy(path)


def _read_gguf(path: Path) -> ImportanceFile:
    file = open_gguf(path)
    names = [name.removesuffix(SUMS) for name in file.tensors if name.endswith(SUMS)]
    names += [name.removesuffix(COUNTS) for name in file.tensors if name.endswith(COUNTS)]
    if not names or "imatrix.chunk_count" not in file.keys:
        raise ArtifactError(f"{path} is a GGUF, but not an importance matrix.", "Give a file that llama-imatrix wrote.")
    importance = {name: _mean(file, name) for name in dict.fromkeys(names)}
    datasets = file.keys.get("imatrix.datasets")
    return ImportanceFile(
        path,
        importance,
        int(file.keys["imatrix.chunk_count"]),
        datasets[0] if isinstance(datasets, list) and datasets else None,
    )


def _mean(file: GgufFile, name: str) -> npt.NDArray[Any]:
    """Divide; a tensor of several experts has a row of sums and one count for each."""
    parts = [file.tensors.get(name + suffix) for suffix in (SUMS, COUNTS)]
    sums, counts = parts
    if sums is None or counts is None or {sums.type, counts.type} != {"f32"} or sums.rows != counts.size:
        raise ArtifactError(f"{file.path}: sums and counts of {name} do not belong together.", _DAMAGED)
    total = file.dequantized(name + SUMS)
    count = np.rint(file.dequantized(name + COUNTS)).reshape(-1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(count > 0, total / count, np.float32(1))
    return mean.astype(np.float32).reshape(-1)


def _read_legacy(path: Path) -> ImportanceFile:
    """Read the form without a magic: counts, names and floats one after the other, little-endian."""
    data = memoryview(limits.read_bytes(path, limits.MATRIX))
    at = 0

    def take(count: int) -> memoryview:
        nonlocal at
        if count < 0 or count > len(data) - at:
            raise ArtifactError(f"{path} is not an importance matrix, or is cut off (at byte {at:,}).", _DAMAGED)
        at += count
        return data[at - count : at]

    def number() -> int:
        return int(struct.unpack("<i", take(4))[0])

    importance = {}
    entries = number()
    if not 0 < entries <= len(data) // 12:
        raise ArtifactError(f"{path} is neither a GGUF nor an importance matrix of the older form.", _DAMAGED)
    for _ in range(entries):
        name = bytes(take(number())).decode("utf-8", "replace")
        calls, values = number(), number()
        sums = np.frombuffer(take(4 * values), "<f4")
        importance[name] = sums / np.float32(calls) if calls > 0 else sums
    chunks = number() if len(data) - at >= 4 else 0
    dataset = bytes(take(number())).decode("utf-8", "replace") if len(data) - at >= 4 else ""
    return ImportanceFile(path, importance, max(chunks, 0), dataset or None)


def _short(text: str) -> str:
    return text.encode()[:_LONGEST].decode("utf-8", "ignore")

"""Read a safetensors file without trusting it: the header is checked before a byte of it is believed.

Format: https://huggingface.co/docs/safetensors#format. Stricter than the reference reader in what it refuses with a
sentence: duplicate keys, holes, trailing bytes, Git-LFS pointers and saved error pages.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import CheckpointError
from .mapped_file import ITEM_SIZE, MappedFile, TensorInfo, stand_in

MAX_HEADER = 100_000_000
"""Bytes; the reference implementation's own limit."""
MAX_ELEMENTS = 1 << 60
"""Of a tensor, dimensions of 0 left out: numpy has no room for more, not even in the shape of an empty array."""


def parse_header(header: bytes, data_start: int, file_size: int, where: str) -> dict[str, TensorInfo]:
    """Parse and check a header.

    Args:
        header: the JSON text.
        data_start: offset of the first data byte in the file (8 + length of the header).
        file_size: bytes of the whole file.
        where: the file's name, for messages.

    Raises:
        CheckpointError: the header does not describe exactly the bytes that follow it.
    """
    try:
        table = json.loads(header, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: the header is not valid: {error}.", _DAMAGED) from error
    if not isinstance(table, dict):
        raise CheckpointError(f"{where}: the header is not a table of tensors.", _DAMAGED)
    table.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry, data_start, where) for name, entry in table.items()}
    position = data_start
    for info in sorted(tensors.values(), key=lambda t: (t.start, t.end)):
        if info.start != position:
            raise CheckpointError(f"{where}: {info.name} does not begin where the tensor before it ends.", _DAMAGED)
        position = info.end
    if position > file_size:
        raise CheckpointError(
            f"{where} is truncated: its header promises {position:,} bytes, the file has {file_size:,}.",
            "Download it again; `git lfs pull` or `hf download` resume a broken transfer.",
        )
    if position < file_size:
        raise CheckpointError(f"{where} has {file_size - position:,} bytes after its last tensor.", _DAMAGED)
    return tensors


_DAMAGED = "The file is damaged or was not written by safetensors; take it again from its source."


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name appears twice")
    return table


def _tensor(name: str, entry: Any, data_start: int, where: str) -> TensorInfo:
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, start, end))
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{where}: the entry of {name} is not one of safetensors.", _DAMAGED) from error
    if not isinstance(dtype, str) or dtype not in ITEM_SIZE:
        raise CheckpointError(f"{where}: {name} has the unknown type {dtype}.", _DAMAGED)
    if whole and math.prod(n or 1 for n in shape) >= MAX_ELEMENTS:
        raise CheckpointError(f"{where}: {name} claims more elements than can be counted.", _DAMAGED)
    if not whole or end - start != math.prod(shape) * ITEM_SIZE[dtype]:
        raise CheckpointError(f"{where}: shape and offsets of {name} do not agree.", _DAMAGED)
    return TensorInfo(name, dtype, tuple(shape), data_start + start, data_start + end)


class Header:
    """A shard of which only the header is known."""

    def __init__(self, name: str, size: int, header: dict[str, Any]) -> None:
        self.name = name
        self.size = size
        ends = [_tensor(key, entry, 0, name).end for key, entry in header.items() if key != "__metadata__"]
        data_start = size - max(ends, default=0)
        self.tensors: Mapping[str, TensorInfo] = parse_header(json.dumps(header).encode(), data_start, size, name)

    def with_tensors(self, tensors: Mapping[str, TensorInfo]) -> Header:
        """Return the same header with other names for what it describes."""
        other = copy.copy(self)
        other.tensors = tensors
        return other


class SafetensorsFile(MappedFile):
    """One open shard of safetensors."""

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(_first(file.read(8), path), "little")
            if length > min(MAX_HEADER, size - 8):
                raise CheckpointError(f"{path.name}: the header claims {length:,} bytes.", _hint(path))
            header = file.read(length)
        super().__init__(path, parse_header(header, 8 + length, size, path.name))


def _first(head: bytes, path: Path) -> bytes:
    if len(head) < 8:
        raise CheckpointError(f"{path.name} is too short to be a safetensors file.", _hint(path))
    return head


def _hint(path: Path) -> str:
    return stand_in(path) or _DAMAGED

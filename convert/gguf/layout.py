"""Where everything lies: types, offsets, heads and names of the files, exactly, before a weight is read."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...core.dtypes import BY_STORED
from ...core.manifest import TensorEntry
from ...quantize.ggml.types import Type
from ..checkpoint import Checkpoint
from ..families import find
from ..program.decoder import Decoder
from . import header, mix
from .header import Entry, Keys, aligned, i32, u16
from .model import Model, Tensor
from .recipe import Recipe


@dataclass(frozen=True)
class Placed:
    """One tensor in a file: `offset` is counted from the file's first byte."""

    tensor: Tensor
    type: Type
    offset: int

    @property
    def rows(self) -> int:
        """Number of rows; a vector is one row."""
        return math.prod(self.tensor.shape[:-1])

    @property
    def cols(self) -> int:
        """Elements of a row."""
        return self.tensor.shape[-1]

    @property
    def bytes(self) -> int:
        """Size without padding."""
        return self.rows * self.type.row_bytes(self.cols)

    def entry(self) -> TensorEntry:
        """Return the tensor's row in the manifest."""
        return TensorEntry(
            name=self.tensor.name,
            shape=list(self.tensor.shape),
            precision=self.type.name,
            group_size=self.type.group,
            bytes=self.bytes,
        )


@dataclass(frozen=True)
class File:
    """One file of the result: name, the bytes before its data, tensors in order, size."""

    name: str
    head: bytes
    tensors: tuple[Placed, ...]
    size: int


@dataclass(frozen=True)
class Layout:
    """All files, and what had to give way to the tensors' widths."""

    files: tuple[File, ...]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def tensors(self) -> list[Placed]:
        """All tensors in the order in which they are written."""
        return [placed for file in self.files for placed in file.tensors]


def facts(model: Model) -> mix.Facts:
    """Return what the mix's rules ask about a model."""
    decoder, family = model.decoder, find(model.decoder.family)
    return mix.Facts(
        layers=decoder.num_layers,
        heads_per_kv=decoder.num_heads // decoder.num_kv_heads,
        experts=next((one.count for one in decoder.experts if one), 0),
        delicate=frozenset(tensor.name for tensor in model.tensors if tensor.source in decoder.delicate),
        rescaled=frozenset(tensor.name for tensor in model.tensors if tensor.held.exact),
        is_70b=isinstance(decoder, Decoder)
        and family is not None
        and family.gguf is not None
        and family.gguf.is_70b(decoder),
    )


def lay_out(
    checkpoint: Checkpoint,
    model: Model,
    recipe: Recipe,
    keys: Keys,
    file_name: str,
    *,
    importance: Container[str] | None = None,
    split_max_size: int = 0,
) -> Layout:
    """Decide types and places.

    Args:
        checkpoint: checked against the model.
        model: the description.
        recipe: what the user asks.
        keys: all key-value pairs of the (first) file.
        file_name: of the file; of splits, "NAME.gguf" becomes "NAME-00001-of-00003.gguf".
        importance: names that have an importance vector; None: no importance matrix.
        split_max_size: bytes of tensors that a file may hold; 0: one file. A larger tensor gets a file of its own.

    Raises:
        UsageError: a type that the user named does not fit a tensor.
    """
    tensors = sorted(model.tensors, key=lambda tensor: mix.order(tensor.name))
    stored = [(t, BY_STORED[checkpoint.info(t.source).dtype].element if t.source else "f32") for t in tensors]
    chosen = mix.assign(stored, facts(model), recipe, importance)
    sized = [Placed(tensor, chosen.types[tensor.name], 0) for tensor in tensors]
    parts = _split(sized, split_max_size)
    files = [
        file(part, _keys(keys, number, len(parts), len(sized)), _name(file_name, number, len(parts)))
        for number, part in enumerate(parts)
    ]
    return Layout(tuple(files), chosen.fallbacks)


def _split(tensors: Sequence[Placed], limit: int) -> list[list[Placed]]:
    """Cut where `gguf.GGUFWriter.add_tensor_info` cuts: before the tensor that would exceed the limit."""
    parts: list[list[Placed]] = [[]]
    size = 0
    for placed in tensors:
        if limit and parts[-1] and size + placed.bytes > limit:
            parts.append([])
            size = 0
        parts[-1].append(placed)
        size += placed.bytes
    return parts


def _keys(keys: Keys, number: int, count: int, tensors: int) -> Keys:
    """The first file has all keys; the others only say which they are."""
    if count == 1:
        return keys
    split = {"split.no": u16(number), "split.count": u16(count), "split.tensors.count": i32(tensors)}
    return {**keys, **split} if number == 0 else split


def _name(file_name: str, number: int, count: int) -> str:
    if count == 1:
        return file_name
    return f"{PurePosixPath(file_name).stem}-{number + 1:05d}-of-{count:05d}.gguf"


def file(tensors: Sequence[Placed], keys: Keys, name: str) -> File:
    """Lay one file out; the tensors' offsets are set here."""
    entries, position = [], 0
    for placed in tensors:
        entries.append(Entry(placed.tensor.name, placed.tensor.shape, placed.type, position))
        position += aligned(placed.bytes)
    head = header.pack(keys, entries)
    placed_at = tuple(
        Placed(placed.tensor, placed.type, len(head) + entry.offset)
        for placed, entry in zip(tensors, entries, strict=True)
    )
    return File(name, head, placed_at, len(head) + position)

"""A GGUF's tensors under transformers' names, in its order of rows, each range of rows de-quantized when it is asked for.

What is where is read from the same descriptions by which GGUF files are written (`convert.gguf.describe`), the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import bus_guard
from ...core.dtypes import BY_ELEMENT, BY_STORED
from ...core.errors import ArtifactError, CheckpointError
from ..gguf.encode import to_halves
from ..gguf.model import Model, Tensor
from ..gguf.read import GgufFile, decode
from ..gguf.read import TensorInfo as TensorLayout
from ..gguf.storage import find
from ..mapped_file import MappedFile, TensorInfo

Array = npt.NDArray[Any]
_FUSED = {"attn_q": 0, "attn_k": 1, "attn_v": 2}
"""Parts of attn_qkv in their order, for the files of a family that have q, k and v in one."""


@dataclass(frozen=True)
class Source:
    """One tensor as transformers has it: `info` with its own rows' place in the file, how they are stored, and what to undo."""

    info: TensorInfo
    type: str
    tensor: Tensor

    @property
    def changed(self) -> bool:
        """False if the values lie in the file as they are wanted."""
        return self.type not in BY_ELEMENT or bool(
            self.tensor.head_dim or self.tensor.plus or self.tensor.held.moved or self.tensor.held.changed
        )


class GgufShard(MappedFile):
    """One file (of a split GGUF one part) whose tensors are de-quantized as they are read."""

    def __init__(self, path: Path, sources: Mapping[str, Source]) -> None:
        super().__init__(path, {name: source.info for name, source in sources.items()})
        self._sources = sources

    def view(self, info: TensorInfo) -> Array:
        """Return the whole tensor: a view of the file where it can be one, else a copy, which may be large."""
        return self.rows(info, 0, info.shape[0])

    def rows(self, info: TensorInfo, start: int, stop: int) -> Array:
        """Return elements [start, stop) of the first dimension, float32 if they were quantized."""
        bus_guard.require_whole(self.path)
        source = self._sources[info.name]
        if not source.changed:
            return super().view(info)[start:stop]
        if source.tensor.held.moved or source.tensor.held.changed:
            return self._undone(source)[start:stop]
        unit = source.tensor.head_dim or 1
        first, last = start // unit * unit, min(-(-stop // unit) * unit, info.shape[0])
        values = self._stored(source, first, last)
        if source.tensor.head_dim:
            values = to_halves(values, source.tensor.head_dim, math.prod(info.shape[1:]))
        if source.tensor.plus:
            values = values - np.float32(source.tensor.plus)
        return values[start - first : stop - first]

    def _undone(self, source: Source) -> Array:
        """Return a whole tensor whose rows or columns lie in another order, or that holds a function of its values."""
        whole = self._stored(source, 0, source.info.shape[0])
        flat = whole.reshape(1 if whole.ndim == 1 else len(whole), -1)
        return source.tensor.held.undo(flat).reshape(source.info.shape)

    def _stored(self, source: Source, start: int, stop: int) -> Array:
        """Return the same elements as they lie in the file; a vector that is quantized is decoded whole."""
        info = source.info
        if source.type in BY_ELEMENT and not source.tensor.plus:
            return np.frombuffer(self._map, BY_STORED[info.dtype].numpy, info.size, info.start).reshape(info.shape)[
                start:stop
            ]
        data = np.frombuffer(self._map, np.uint8, info.end - info.start, info.start)
        if len(info.shape) == 1:
            return decode(data.reshape(1, -1), source.type, info.name).reshape(-1)[start:stop]
        return decode(data.reshape(info.shape[0], -1)[start:stop], source.type, info.name)


def shards(file: GgufFile, model: Model) -> dict[str, MappedFile]:
    """Return the file's parts by name, with their tensors as the model's checkpoint has them.

    Args:
        file: the GGUF.
        model: its description, from the config that was made of its keys.

    Raises:
        CheckpointError: a type that cannot be decoded, or a tensor of another shape than the keys promise.
    """
    _require_decodable(file)
    sources = {source.info.name: (path, source) for path, source in _sources(file, model)}
    return {
        path.name: GgufShard(path, {name: source for name, (where, source) in sources.items() if where == path})
        for path in file.files
    }


def _sources(file: GgufFile, model: Model) -> Iterator[tuple[Path, Source]]:
    """Give each tensor with its file; one that the model does not know keeps its name, and is refused later as unused."""
    left, shapes = dict(file.tensors), model.decoder.tensors()
    for tensor in model.tensors:
        stored = left.pop(tensor.name, None)
        if stored is None:
            yield from _part(file, tensor, left)
        elif tensor.source:
            made = _source(stored, tensor, stored.offset, tensor.source)
            wanted = shapes.get(tensor.source, tensor.shape)  # a kernel's dimension of one is not in the file
            yield stored.file, replace(made, info=replace(made.info, shape=wanted))
    for name, stored in left.items():
        if not name.endswith(("rope_freqs.weight", "attn_rot_embd.weight")) and ".attn_qkv." not in name:
            yield stored.file, _source(stored, Tensor(name, stored.shape, name), stored.offset, name)


def _part(file: GgufFile, tensor: Tensor, left: Mapping[str, TensorLayout]) -> Iterator[tuple[Path, Source]]:
    """Cut q, k or v out of attn_qkv, if that is what the file has; nothing for a tensor that it lacks."""
    prefix, _, kind = tensor.name.rpartition(".")
    block, _, part = prefix.rpartition(".")
    fused = left.get(f"{block}.attn_qkv.{kind}")
    if fused is None or part not in _FUSED or tensor.source is None:
        return
    kv, rows = file.own("attention.head_count_kv"), fused.shape[0]
    heads = file.own("attention.head_count")
    unit = rows // (heads + 2 * kv)
    first = (0, heads * unit, (heads + kv) * unit)[_FUSED[part]]
    if rows % (heads + 2 * kv) or first + tensor.shape[0] > rows:
        raise _misshapen(fused, tensor)
    row = fused.bytes // rows
    yield fused.file, _source(fused, tensor, fused.offset + first * row, tensor.source, tensor.shape[0] * row)


def _source(stored: TensorLayout, tensor: Tensor, start: int, name: str, size: int | None = None) -> Source:
    if size is None and stored.shape != tensor.shape:
        raise _misshapen(stored, tensor)
    kind = BY_ELEMENT.get("f32" if tensor.plus or tensor.held.changed else stored.type, BY_ELEMENT["f32"])
    end = start + (stored.bytes if size is None else size)
    return Source(TensorInfo(name, kind.stored, tensor.shape, start, end), stored.type, tensor)


def _misshapen(stored: TensorLayout, tensor: Tensor) -> CheckpointError:
    return CheckpointError(
        f"{stored.name} is {list(stored.shape)}; by the file's keys {tensor.name} should be {list(tensor.shape)}.",
        "Keys and tensors are not of the same model.",
    )


def _require_decodable(file: GgufFile) -> None:
    """Decode a block of each type, so that none is found wanting half-way."""
    for kind in {info.type for info in file.tensors.values()}:
        name = next(name for name, info in file.tensors.items() if info.type == kind)
        try:
            decode(np.zeros((1, find(kind).bytes), np.uint8), kind, name)
        except ArtifactError as error:
            raise CheckpointError(error.message, error.hint) from error

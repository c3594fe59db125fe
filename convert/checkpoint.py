"""What a checkpoint is once it is open: config, shards, tensors, whatever form they lie in. `open_checkpoint` opens one."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..core.errors import CheckpointError
from ..core.json_file import read_json
from ..core.paths import model_name
from ..core.unchanged import Unchanged
from . import sentence
from .mapped_file import MappedFile, TensorInfo
from .program.task import Task
from .safetensors_file import Header
from .stacks import Part, Stack

__all__ = ["GGUF", "Checkpoint", "read_json"]

GGUF = ".gguf"
"""How the name of a checkpoint that is one file ends."""
_GGUF_NAME = re.compile(r"([.-](i?q\d\w*|bf16|f16|f32))?(-\d{5}-of-\d{5})?\.gguf", re.IGNORECASE)


@dataclass
class Checkpoint:
    """An opened checkpoint, in a form that transformers knows.

    Attributes:
        folder: of config.json, tokenizer files and the like.
        config: config.json.
        shards: file name → open file, or its header.
        generation_config: generation_config.json.
        source: where the checkpoint itself lies, if `folder` is only its small files in transformers' form: a folder, or a GGUF.
        notes: what had to be found out or decided to bring it into that form, as sentences.
        unchanged: the source's files as they were before anything of them was read.
        stacks: tensors that are read as if they were stored, by name: experts' matrices in one, parts of a matrix.
    """

    folder: Path
    config: dict[str, Any]
    shards: Mapping[str, MappedFile | Header]
    generation_config: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None
    notes: tuple[str, ...] = ()
    unchanged: Unchanged = field(default_factory=Unchanged)
    stacks: Mapping[str, Stack | Part] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """What the user named: a folder, or the GGUF (of a split one the first part)."""
        return self.source or self.folder

    @property
    def is_file(self) -> bool:
        """True for a GGUF: what lies beside it is not of it."""
        return self.place.suffix == GGUF and self.place.is_file()

    @property
    def origin(self) -> Path:
        """The folder that the user knows: of the shards, and of the files as their makers wrote them."""
        return self.place.parent if self.is_file else self.place

    @property
    def name(self) -> str:
        """Name of the folder, or of the GGUF without what says how it is stored and how many parts it has."""
        return _GGUF_NAME.sub("", self.place.name) if self.is_file else model_name(self.place)

    @cached_property
    def _home(self) -> dict[str, tuple[str, TensorInfo]]:
        return {name: (shard, info) for shard, file in self.shards.items() for name, info in file.tensors.items()}

    def require_unchanged(self) -> None:
        """Refuse a source of which a file is not what it was before anything of it was read. Raises CheckpointError."""
        self.unchanged.require(self.origin / name for name in self.shards)
        if not self.is_file:  # what lies beside a GGUF is not of it
            self.unchanged.require_model()

    @property
    def model_type(self) -> str:
        """The family's name as transformers registers it."""
        return str(self.config["model_type"])

    @cached_property
    def sentence(self) -> Task | None:
        """What the files of sentence-transformers beside it say; None: there are none. Raises CheckpointError."""
        return None if self.is_file else sentence.read(self.origin)

    @property
    def has_weights(self) -> bool:
        """False if only the shards' headers are here."""
        return not any(isinstance(shard, Header) for shard in self.shards.values())

    @property
    def names(self) -> set[str]:
        """Names of all tensors, as they are stored."""
        return set(self._home)

    def sources(self, names: Collection[str]) -> set[str]:
        """Return the names of the stored tensors that these are, or are made of."""
        return {source for name in names for source in (self.stacks[name].names if name in self.stacks else (name,))}

    @cached_property
    def _stacked(self) -> dict[str, TensorInfo]:
        """What was found of stacks so far."""
        return {}

    def info(self, name: str) -> TensorInfo:
        """Describe a tensor. Raises CheckpointError if the checkpoint has none of that name."""
        if name in self.stacks:
            if name not in self._stacked:
                self._stacked[name] = self.stacks[name].info(self)
            return self._stacked[name]
        if name not in self._home:
            raise CheckpointError(
                f"The checkpoint has no tensor {name}.",
                "Its config.json promises one: the two do not belong together, or a shard is missing.",
            )
        return self._home[name][1]

    def file_of(self, name: str) -> str:
        """Return the name of the file that holds a tensor, of a stack its first part."""
        return self._home[next(iter(self.stacks[name].names)) if name in self.stacks else name][0]

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Put the names of a tensor and its file in front of what the body finds wrong with it."""
        try:
            yield
        except CheckpointError as error:
            what = error.message if error.message.startswith(name) else f"{name}: {error.message}"
            raise CheckpointError(f"{self.file_of(name)}: {what}", error.hint) from error

    def shard_of(self, name: str) -> MappedFile:
        """Return the open file that holds a tensor."""
        shard = self.shards[self._home[name][0]]
        if isinstance(shard, Header):
            raise CheckpointError(f"The weights of {shard.name} are not on this machine.")
        return shard

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """Return a tensor as a view of its file (bfloat16 as uint16 bits); a stack, or what a GGUF has quantized, as a copy."""
        if name in self.stacks:
            return self.stacks[name].tensor(self)
        return self.shard_of(name).view(self.info(name))

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Return elements [start, stop) of a tensor's first dimension, of one that is quantized no more than these decoded."""
        if name in self.stacks:
            return self.matrix(name, start, stop)
        return self.shard_of(name).rows(self.info(name), start, stop)

    def matrix(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Return rows [start, stop) of a tensor of any shape, seen as [n, columns]: all dimensions but the last are one."""
        if name in self.stacks:
            return self.stacks[name].rows(self, start, stop)
        shape = self.info(name).shape
        if len(shape) == 2:
            return self.rows(name, start, stop)
        return self.tensor(name).reshape(math.prod(shape[:-1]), shape[-1])[start:stop]

    def release(self, name: str, start: int, stop: int, count: int) -> None:
        """Give back the pages of rows [start, stop) of a tensor that has `count`."""
        if name in self.stacks:
            self.stacks[name].release(self, start, stop)
            return
        info = self.info(name)
        row = (info.end - info.start) // max(count, 1)
        self.shard_of(name).release(info.start + start * row, info.start + stop * row)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards.values())

    @property
    def parameters(self) -> int:
        """Number of weights stored."""
        return sum(info.size for _, info in self._home.values())

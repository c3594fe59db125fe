"""A checkpoint folder, opened and checked: config, shards, tensors. Nothing of it is executed.

Everything that would stop a conversion half-way is refused here, before a weight is read: missing or extra shards,
names that leave the folder, truncated files, pickles, custom code without consent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..core import adapter_folder
from ..core.errors import CheckpointError
from ..core.json_file import read_json
from ..core.paths import is_text, model_name, own_links
from ..core.unchanged import Unchanged
from .mapped_file import MappedFile, TensorInfo
from .safetensors_file import Header
from .shards import check_against_index, open_shards, stale_index

__all__ = ["Checkpoint", "open_checkpoint", "open_headers", "read_json"]

_GGUF = ".gguf"
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
    """

    folder: Path
    config: dict[str, Any]
    shards: Mapping[str, MappedFile | Header]
    generation_config: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None
    notes: tuple[str, ...] = ()
    unchanged: Unchanged = field(default_factory=Unchanged)

    @property
    def place(self) -> Path:
        """What the user named: a folder, or the GGUF (of a split one the first part)."""
        return self.source or self.folder

    @property
    def is_file(self) -> bool:
        """True for a GGUF: what lies beside it is not of it."""
        return self.place.suffix == _GGUF and self.place.is_file()

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

    @property
    def has_weights(self) -> bool:
        """False if only the shards' headers are here."""
        return not any(isinstance(shard, Header) for shard in self.shards.values())

    @property
    def names(self) -> set[str]:
        """Names of all tensors."""
        return set(self._home)

    def info(self, name: str) -> TensorInfo:
        """Describe a tensor. Raises CheckpointError if the checkpoint has none of that name."""
        if name not in self._home:
            raise CheckpointError(
                f"The checkpoint has no tensor {name}.",
                "Its config.json promises one: the two do not belong together, or a shard is missing.",
            )
        return self._home[name][1]

    def file_of(self, name: str) -> str:
        """Return the name of the file that holds a tensor."""
        return self._home[name][0]

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
        """Return a tensor as a view of its mapped file (bfloat16 as uint16 bits); one that a GGUF has quantised as a copy."""
        return self.shard_of(name).view(self.info(name))

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Return elements [start, stop) of a tensor's first dimension, of one that is quantised no more than these decoded."""
        return self.shard_of(name).rows(self.info(name), start, stop)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards.values())

    @property
    def parameters(self) -> int:
        """Number of weights stored."""
        return sum(info.size for _, info in self._home.values())


def open_checkpoint(folder: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """Open a folder, or the GGUF (of a split one any part) of that path.

    Raises:
        CheckpointError: anything that is absent, damaged, hostile or not supported, with what to do about it.
    """
    if not is_text(folder):
        raise CheckpointError(
            f"The path {folder} is no UTF-8 text, as the libraries under us need it.", "Rename the folder."
        )
    if folder.suffix == _GGUF and folder.is_file():
        from . import gguf_source

        return gguf_source.view(folder)
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}.", "Check the path, or give a Hub id such as org/name.")
    own_links(folder, CheckpointError, what="the checkpoint")
    unchanged = Unchanged()
    unchanged.add_folder(folder)
    adapter_folder.refuse(str(folder), {path.name for path in folder.iterdir()}, _base_of_adapter(folder))
    config = _read_config(folder, trust_remote_code)
    shards = open_shards(folder)
    generation, notes = _generation_config(folder), _notes(folder, shards)
    return _in_native_form(Checkpoint(folder, config, shards, generation, notes=notes, unchanged=unchanged))


def open_headers(
    folder: Path, headers: Mapping[str, dict[str, Any]], sizes: Mapping[str, int], *, trust_remote_code: bool = False
) -> Checkpoint:
    """Open a checkpoint of which only the small files and the shards' headers are here, for a plan.

    Args:
        folder: config.json, tokenizer files, index.
        headers: shard → its header in the form of safetensors, which no longer tells how long its text was.
        sizes: shard → bytes of the file.
        trust_remote_code: as for `open_checkpoint`.

    Raises:
        CheckpointError: as `open_checkpoint`.
    """
    config = _read_config(folder, trust_remote_code)
    shards = {name: Header(name, sizes[name], header) for name, header in headers.items()}
    check_against_index(folder, shards)
    return _in_native_form(Checkpoint(folder, config, shards, _generation_config(folder), notes=_notes(folder, shards)))


def _notes(folder: Path, shards: Mapping[str, MappedFile | Header]) -> tuple[str, ...]:
    index = stale_index(folder, shards)
    if index is None:
        return ()
    return (
        f"{index} is not of the weights, which lie in one file beside it; it is passed over, as transformers does.",
    )


def _in_native_form(checkpoint: Checkpoint) -> Checkpoint:
    """Look at families, and at names, that transformers has in another form as if they had been saved by it."""
    from . import base_names, chatglm

    return base_names.view(chatglm.view(checkpoint) if checkpoint.model_type == chatglm.MODEL_TYPE else checkpoint)


def _generation_config(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    return read_json(path) if path.is_file() else {}


def _base_of_adapter(folder: Path) -> str | None:
    path = folder / adapter_folder.CONFIG
    base = read_json(path).get("base_model_name_or_path") if path.is_file() else None
    return base if isinstance(base, str) else None


def _read_config(folder: Path, trust_remote_code: bool) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no config.json.", "Give the folder of a Hugging Face checkpoint, the one with config.json."
        )
    config = read_json(path)
    if not isinstance(config.get("model_type"), str):
        raise CheckpointError(
            "config.json does not name a model_type.", "Only checkpoints of the transformers library can be read."
        )
    if config.get("auto_map") and not trust_remote_code:
        _require_native(config, folder)
    return config


def _require_native(config: dict[str, Any], folder: Path) -> None:
    """A model's code is never run; a checkpoint that has some is fine as long as its architecture is known without it."""
    from . import remote_code

    if remote_code.is_needed(config):
        files = sorted(p.name for p in folder.glob("*.py"))
        raise CheckpointError(
            f"model_type {config['model_type']!r} needs code from the checkpoint itself "
            f"({', '.join(files) or 'auto_map in config.json'}), which is not run.",
            remote_code.UNKNOWN,
        )

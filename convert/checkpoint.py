"""A checkpoint folder, opened and checked: config, shards, tensors. Nothing of it is executed.

Everything that would stop a conversion half-way is refused here, before a weight is read: missing or extra shards,
names that leave the folder, truncated files, pickles, custom code without consent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy.typing as npt

from ..core.errors import CheckpointError
from .safetensors_file import Header, SafetensorsFile, TensorInfo

_MAX_JSON = 200_000_000
_INDEX = "model.safetensors.index.json"
_STALE = "Index and shards are of different revisions; download all of them again."


@dataclass
class Checkpoint:
    """An opened checkpoint: `config` is config.json, `shards` map file names to open files."""

    folder: Path
    config: dict[str, Any]
    shards: Mapping[str, SafetensorsFile | Header]
    generation_config: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _home(self) -> dict[str, tuple[str, TensorInfo]]:
        return {name: (shard, info) for shard, file in self.shards.items() for name, info in file.tensors.items()}

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

    def shard_of(self, name: str) -> SafetensorsFile:
        """Return the open file that holds a tensor."""
        shard = self.shards[self._home[name][0]]
        if isinstance(shard, Header):
            raise CheckpointError(f"The weights of {shard.name} are not on this machine.")
        return shard

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """Return a tensor as a view of its mapped file (bfloat16 as uint16 bits)."""
        return self.shard_of(name).view(self.info(name))

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards.values())

    @property
    def parameters(self) -> int:
        """Number of weights stored."""
        return sum(info.size for _, info in self._home.values())


def open_checkpoint(folder: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """Open a folder.

    Raises:
        CheckpointError: anything that is absent, damaged, hostile or not supported, with what to do about it.
    """
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}.", "Check the path, or give a Hub id such as org/name.")
    config = _read_config(folder)
    if config.get("auto_map") and not trust_remote_code:
        _require_native(config, folder)
    shards = {name: SafetensorsFile(folder / name) for name in _shard_names(folder)}
    _check_against_index(folder, shards)
    if not any(file.tensors for file in shards.values()):
        raise CheckpointError(f"{folder.name}: the safetensors files hold no tensors.", "Take another revision.")
    generation = folder / "generation_config.json"
    return Checkpoint(folder, config, shards, read_json(generation) if generation.is_file() else {})


def open_headers(
    folder: Path, headers: Mapping[str, dict[str, Any]], sizes: Mapping[str, int], *, trust_remote_code: bool = False
) -> Checkpoint:
    """Open a checkpoint of which only the small files and the shards' headers are here, for a plan.

    Args:
        folder: config.json, tokenizer files, index.
        headers: shard → its parsed safetensors header, which no longer tells how long its text was.
        sizes: shard → bytes of the file.
        trust_remote_code: as for `open_checkpoint`.

    Raises:
        CheckpointError: as `open_checkpoint`.
    """
    config = _read_config(folder)
    if config.get("auto_map") and not trust_remote_code:
        _require_native(config, folder)
    shards = {name: Header(name, sizes[name], header) for name, header in headers.items()}
    _check_against_index(folder, shards)
    return Checkpoint(folder, config, shards)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object (a byte-order mark is tolerated). Raises CheckpointError if it is none."""
    if path.stat().st_size > _MAX_JSON:
        raise CheckpointError(f"{path.name} has {path.stat().st_size:,} bytes, which no such file needs.")
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {error}.", "Download the file again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object.", "Download the file again.")
    return content


def _read_config(folder: Path) -> dict[str, Any]:
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
    return config


def _require_native(config: dict[str, Any], folder: Path) -> None:
    """Custom code is never run; a checkpoint that has some is fine as long as its architecture is known natively."""
    from .families import is_native

    if not is_native(config):
        files = sorted(p.name for p in folder.glob("*.py"))
        raise CheckpointError(
            f"model_type {config['model_type']!r} needs code from the checkpoint itself "
            f"({', '.join(files) or 'auto_map in config.json'}), which is not run without consent.",
            "Read those files; if you trust them, repeat with --trust-remote-code.",
        )


def _shard_names(folder: Path) -> list[str]:
    index = folder / _INDEX
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{_INDEX} has no weight_map.", "Download the file again.")
        names = sorted({_safe_name(name) for name in weight_map.values()})
        stale = {p.name for p in folder.glob("model-*-of-*.safetensors")} - set(names)
        if stale:
            raise CheckpointError(f"{_INDEX} does not know the shard {min(stale)}.", _STALE)
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{len(missing)} of {len(names)} shards are missing: {', '.join(missing[:3])}.",
                "The download is not complete; run it again.",
            )
        return names
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    loose = sorted(p.name for p in folder.glob("*.safetensors"))
    if len(loose) == 1:
        return loose
    if loose:
        raise CheckpointError(
            f"{len(loose)} safetensors files but no {_INDEX}.", "Download the index too: it says which tensor is where."
        )
    pickles = sorted(p.name for p in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickles:
        raise CheckpointError(
            f"The weights are pickles ({pickles[0]}), which can run code when they are opened.",
            "Take a revision with safetensors, or convert them where you trust them.",
        )
    raise CheckpointError(f"{folder} has no safetensors files.", "Give the folder of a complete checkpoint.")


def _safe_name(name: Any) -> str:
    """A shard lies in the checkpoint's own folder tree; anything else is an attack or an accident."""
    if isinstance(name, str) and name and not any(c in name for c in "\\\0\n"):
        path = PurePosixPath(name)
        if not path.is_absolute() and ".." not in path.parts and path.suffix == ".safetensors":
            return name
    raise CheckpointError(
        f"{_INDEX} names a shard that cannot be one: {name!r}.", "The index is damaged or hostile; do not use it."
    )


def _check_against_index(folder: Path, shards: Mapping[str, SafetensorsFile | Header]) -> None:
    owners: dict[str, str] = {}
    for shard, file in shards.items():
        for name in file.tensors:
            if name in owners:
                raise CheckpointError(f"{name} is in both {owners[name]} and {shard}.", "One of the two is stale.")
            owners[name] = shard
    index = folder / _INDEX
    if not index.is_file():
        return
    weight_map = read_json(index)["weight_map"]
    for name, shard in weight_map.items():
        if owners.get(name) != shard:
            raise CheckpointError(f"{_INDEX} promises {name} in {shard}, which does not hold it.", _STALE)
    extra = sorted(set(owners) - set(weight_map))
    if extra:
        raise CheckpointError(f"{len(extra)} tensors are in no index, for example {extra[0]}.", _STALE)

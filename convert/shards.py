"""Which files of a folder hold the weights, and whether they and their index belong together.

Safetensors come first; files of torch.save are taken where there are none. One file goes before shards, as in transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..core.errors import CheckpointError
from ..core.json_file import read_json
from ..core.paths import is_inner, is_text
from .mapped_file import MappedFile
from .pickle_file import PickleFile
from .safetensors_file import Header, SafetensorsFile

_STALE = "Index and shards are of different revisions; download all of them again."


@dataclass(frozen=True)
class _Form:
    """One way to store weights: names of the index, of a lone file and of shards, and what opens a file."""

    index: str
    whole: str
    shards: str
    open: Callable[[Path], MappedFile]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.whole).suffix


_SAFETENSORS = _Form("model.safetensors.index.json", "model.safetensors", "model-*-of-*.safetensors", SafetensorsFile)
_PICKLE = _Form("pytorch_model.bin.index.json", "pytorch_model.bin", "pytorch_model-*-of-*.bin", PickleFile)


def open_shards(folder: Path) -> dict[str, MappedFile]:
    """Open all weights of a folder, by file name.

    Raises:
        CheckpointError: shards are missing, too many, damaged, hostile, or of a kind that is not read.
    """
    form, names = _find(folder)
    odd = next((name for name in names if not is_text(folder / name)), None)
    if odd is not None:
        raise CheckpointError(f"{odd}: the file's name is not UTF-8 text.", "Rename the file.")
    shards = {name: form.open(folder / name) for name in names}
    check_against_index(folder, shards)
    if not any(file.tensors for file in shards.values()):
        raise CheckpointError(f"{folder.name}: the {form.suffix} files hold no tensors.", "Take another revision.")
    return shards


def stale_index(folder: Path, shards: Mapping[str, MappedFile | Header]) -> str | None:
    """Return the name of an index beside weights in one file if it is not of that file; transformers reads the file first."""
    form = next((form for form in (_SAFETENSORS, _PICKLE) if list(shards) == [form.whole]), None)
    if form is None or not (folder / form.index).is_file():
        return None
    return form.index if set(_weight_map(folder, form).values()) != {form.whole} else None


def check_against_index(folder: Path, shards: Mapping[str, MappedFile | Header]) -> None:
    """Compare what the shards hold with what the index promises. Raises CheckpointError."""
    owners: dict[str, str] = {}
    for shard, file in shards.items():
        for name in file.tensors:
            if name in owners:
                raise CheckpointError(f"{name} is in both {owners[name]} and {shard}.", "One of the two is stale.")
            owners[name] = shard
    form = _PICKLE if any(name.endswith(_PICKLE.suffix) for name in shards) else _SAFETENSORS
    if not (folder / form.index).is_file() or stale_index(folder, shards):
        return
    weight_map = _weight_map(folder, form)
    for name, shard in weight_map.items():
        if owners.get(name) != shard:
            raise CheckpointError(f"{form.index} promises {name} in {shard}, which does not hold it.", _STALE)
    extra = sorted(set(owners) - set(weight_map))
    if extra:
        raise CheckpointError(f"{len(extra)} tensors are in no index, for example {extra[0]}.", _STALE)


def _find(folder: Path) -> tuple[_Form, list[str]]:
    for form in (_SAFETENSORS, _PICKLE):
        if (folder / form.whole).is_file():
            return form, [form.whole]
        if (folder / form.index).is_file():
            return form, _indexed(folder, form)
        if form is _SAFETENSORS and any(folder.glob("*.safetensors")):
            return form, _loose(folder)
    pickles = sorted(p.name for p in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickles:
        raise CheckpointError(
            f"{folder.name} has weights in files of unknown layout ({pickles[0]}).",
            f"Take a revision with safetensors, or with {_PICKLE.whole} as transformers writes it.",
        )
    raise CheckpointError(f"{folder} has no safetensors files.", "Give the folder of a complete checkpoint.")


def _indexed(folder: Path, form: _Form) -> list[str]:
    names = sorted({_safe_name(name, form) for name in _weight_map(folder, form).values()})
    stale = {p.name for p in folder.glob(form.shards)} - set(names)
    if stale:
        raise CheckpointError(f"{form.index} does not know the shard {min(stale)}.", _STALE)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{len(missing)} of {len(names)} shards are missing: {', '.join(missing[:3])}.",
            "The download is not complete; run it again.",
        )
    return names


def _loose(folder: Path) -> list[str]:
    loose = sorted(p.name for p in folder.glob("*.safetensors"))
    if len(loose) > 1:
        raise CheckpointError(
            f"{len(loose)} safetensors files but no {_SAFETENSORS.index}.",
            "Download the index too: it says which tensor is where.",
        )
    return loose


def _weight_map(folder: Path, form: _Form) -> dict[str, Any]:
    weight_map = read_json(folder / form.index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{form.index} has no weight_map.", "Download the file again.")
    return weight_map


def _safe_name(name: Any, form: _Form) -> str:
    """A shard lies in the checkpoint's own folder tree; anything else is an attack or an accident."""
    if isinstance(name, str) and is_inner(name) and PurePosixPath(name).suffix == form.suffix:
        return name
    raise CheckpointError(
        f"{form.index} names a shard that cannot be one: {name!r}.", "The index is damaged or hostile; do not use it."
    )

"""A checkpoint folder or file, opened and checked. Nothing of it is executed.

Everything that would stop a conversion half-way is refused here, before a weight is read: missing or extra shards,
names that leave the folder, truncated files, pickles, custom code without consent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core import adapter_folder
from ..core.errors import CheckpointError
from ..core.json_file import read_json
from ..core.paths import is_text, own_links
from ..core.unchanged import Unchanged
from . import base_names, language_part, multimodal, stacks
from .checkpoint import GGUF, Checkpoint
from .mapped_file import MappedFile
from .safetensors_file import Header
from .shards import check_against_index, open_shards, stale_index


def open_checkpoint(folder: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """Open a folder, or the GGUF (of a split one any part) of that path.

    Raises:
        CheckpointError: anything that is absent, damaged, hostile or not supported, with what to do about it.
    """
    if not is_text(folder):
        raise CheckpointError(
            f"The path {folder} is not UTF-8 text, as the libraries under us need it.", "Rename the folder."
        )
    if folder.suffix == GGUF and folder.is_file():
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
    from . import families, makers

    seen = base_names.view(language_part.view(multimodal.view(makers.view(checkpoint))))
    family, _ = families.of_language(seen.config)
    if family is None:
        return seen
    if family.renamed:
        seen = base_names.renamed(seen, family.renamed)
    found = stacks.find(seen.names, family.experts) if family.experts else {}
    found |= stacks.joined(seen.names, family.joined)
    return replace(seen, stacks={**found, **stacks.parts(seen.names, family.parts)})


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

"""The language model of a checkpoint that also sees, as one of its own: names without "language_model.", the text's own config.

transformers saves some language models under the names that they have inside the larger model, too.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import families, multimodal, native_files

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

_INSIDE, _ALONE = "model.language_model.", "model."
_SEEING = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
_FORM = 1
"""To be raised when what is written changes while edgeconv's version does not."""


def view(checkpoint: Checkpoint) -> Checkpoint:
    """Return the language model alone; a checkpoint of another kind as it is."""
    family = families.language_part(checkpoint.config)
    if family is None or multimodal.is_ours(checkpoint.model_type):  # which is converted whole
        return checkpoint
    config = checkpoint.config
    if config["model_type"] != family.model_type:
        tied = config.get("tie_word_embeddings", family.defaults.get("tie_word_embeddings", False))
        text = {"tie_word_embeddings": tied, **config["text_config"]}
        text |= {"architectures": [family.architecture]}
        folder = _small_files(checkpoint.folder, text)
        seen = sum(name.startswith(family.vision_prefix) for name in checkpoint.names)
        what, takes = ("vision tensors", "no pictures")
        if isinstance(family.vision_prefix, tuple):
            what, takes = ("tensors for pictures and sound", "text only")
        note = (
            f"Of the {config['model_type']} the language model alone is converted: its {seen} {what} are left out, "
            f"and what is written takes {takes}."
        )
        checkpoint = replace(
            checkpoint, folder=folder, config=text, source=checkpoint.place, notes=(*checkpoint.notes, note)
        )
    return _renamed(checkpoint, family.vision_prefix)


def _renamed(checkpoint: Checkpoint, prefix: str | tuple[str, ...]) -> Checkpoint:
    shards = {}
    for file, shard in checkpoint.shards.items():
        infos = [
            replace(info, name=_ALONE + info.name[len(_INSIDE) :]) if info.name.startswith(_INSIDE) else info
            for info in shard.tensors.values()
            if not info.name.startswith(prefix)
        ]
        shards[file] = shard.with_tensors({info.name: info for info in infos})
    return replace(checkpoint, shards=shards)


def _small_files(source: Path, text: dict[str, Any]) -> Path:
    kept = [path for name, path in native_files.small_files(source).items() if name not in ("config.json", *_SEEING)]

    def make(folder: Path) -> None:
        native_files.write_json(folder / "config.json", text)
        for path in kept:
            shutil.copyfile(path, folder / path.name)

    from ..core.digest import sha256_file

    return native_files.obtain([_FORM, text, {path.name: sha256_file(path) for path in kept}], make)

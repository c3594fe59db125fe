"""Checkpoints in their makers' own form, for which they bring code: seen as those of a class that transformers has.

Their code is never run and no weight is copied: tensors get other names, or are rows of others (`row_views`); the small files are
made in transformers' form and kept in the cache (`native_files`).
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.digest import sha256_file
from ...core.json_file import read_json
from .. import chatglm, native_files, row_views
from . import tokenizer
from .internlm import INTERNLM2, INTERNLM3
from .minicpm import MINICPM

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint

MAKERS = {"internlm2": INTERNLM2, "internlm3": INTERNLM3, "minicpm": MINICPM}
"""model_type → its form."""
MODEL_TYPES = frozenset([chatglm.MODEL_TYPE, *MAKERS])
_FORM = 1
"""To be raised when what is written changes while edgeconv's version does not."""


def view(checkpoint: Checkpoint) -> Checkpoint:
    """Return the same checkpoint as one of transformers' own; one of another type as it is.

    Raises:
        CheckpointError: a variant that no class of transformers is, or tokenizer files that are damaged.
    """
    if checkpoint.model_type == chatglm.MODEL_TYPE:
        return chatglm.view(checkpoint)
    maker = MAKERS.get(checkpoint.model_type)
    if maker is None:
        return checkpoint
    made = maker.native(checkpoint.config)
    source = checkpoint.folder
    kept = [path for name, path in native_files.small_files(source).items() if name != "config.json"]

    def make(folder: Path) -> None:
        native_files.write_json(folder / "config.json", made.config)
        for path in kept:
            shutil.copyfile(path, folder / path.name)
        tokenizer.write(folder)

    folder = native_files.obtain([_FORM, made.config, {path.name: sha256_file(path) for path in kept}], make)
    shards = row_views.seen(checkpoint.shards, made.layout) if made.layout else checkpoint.shards
    return replace(
        checkpoint, folder=folder, config=read_json(folder / "config.json"), shards=shards, source=source,
        notes=(*checkpoint.notes, *made.notes),
    )  # fmt: skip

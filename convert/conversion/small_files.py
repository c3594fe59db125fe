"""The files beside the graphs of an artifact that is a folder with tokenizer and configs."""

from __future__ import annotations

from pathlib import Path

from .. import card, tokenizer_copy
from ..checkpoint import Checkpoint
from ..openvino import assets

_WRITTEN = ("config.json", "generation_config.json")


def names(folder: Path) -> tuple[str, ...]:
    """Return what an artifact of a checkpoint's folder will have."""
    copied = (path.relative_to(folder).as_posix() for path in assets.sources(folder))
    return tuple(dict.fromkeys((*_WRITTEN, *copied, *tokenizer_copy.written(folder))))


def inputs(checkpoint: Checkpoint) -> list[str]:
    """Return the files that a conversion reads, relative to the checkpoint: small ones, its card, and the shards."""
    origin, shards = checkpoint.origin, sorted(checkpoint.shards)
    if checkpoint.is_file:
        return shards
    cards = [path.name for path in [origin / card.README] if path.is_file()]
    return [str(path.relative_to(origin)) for path in assets.sources(origin)] + cards + shards

"""Tensors by other names: of checkpoints saved from a model without its head, and of families that transformers renames.

Those of a `Qwen3Model` lack the "model." of the whole model's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

PREFIX = "model."
_TABLE = "embed_tokens.weight"
_LAYERS = "layers.0."
_OUTSIDE = ("lm_head.", "score.")
NOTE = (
    f'The tensors are named as those of a model without a head ("{_TABLE}" for "{PREFIX}{_TABLE}"), as embedding models are '
    "saved: what is written predicts tokens."
)


def view(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with the whole model's names; as it is if it has them, or is of another kind."""
    names = checkpoint.names
    if _TABLE not in names or not any(name.startswith(_LAYERS) for name in names):
        return checkpoint
    if any(name.startswith(PREFIX) for name in names):
        return checkpoint
    whole = with_names(checkpoint, lambda name: name if name.startswith(_OUTSIDE) else PREFIX + name)
    return whole if checkpoint.sentence else replace(whole, notes=(*checkpoint.notes, NOTE))


def renamed(checkpoint: Checkpoint, parts: Mapping[str, str]) -> Checkpoint:
    """Return the checkpoint with other names in the place of parts of its tensors' names."""
    return with_names(checkpoint, lambda name: seen(name, parts))


def seen(name: str, parts: Mapping[str, str]) -> str:
    """Return a tensor's name with others in the place of its parts."""
    for old, new in parts.items():
        name = name.replace(old, new)
    return name


def with_names(checkpoint: Checkpoint, name_of: Callable[[str], str]) -> Checkpoint:
    """Return the checkpoint with the names that a function gives its tensors."""
    shards = {}
    for file, shard in checkpoint.shards.items():
        infos = [replace(info, name=name_of(info.name)) for info in shard.tensors.values()]
        shards[file] = shard.with_tensors({info.name: info for info in infos})
    return replace(checkpoint, shards=shards)

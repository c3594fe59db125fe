"""Checkpoints saved from a model without its head (`Qwen3Model`): their tensors' names lack the "model." of the whole model's."""

from __future__ import annotations

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
    shards = {}
    for file, shard in checkpoint.shards.items():
        infos = [
            info if info.name.startswith(_OUTSIDE) else replace(info, name=PREFIX + info.name)
            for info in shard.tensors.values()
        ]
        shards[file] = shard.with_tensors({info.name: info for info in infos})
    return replace(checkpoint, shards=shards, notes=(*checkpoint.notes, NOTE))

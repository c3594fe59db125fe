"""Every tensor of a checkpoint is used, or is known to hold no weights of the model: nothing is left out silently."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping

import numpy as np

from ..core.dtypes import BY_STORED, NAMED
from ..core.errors import CheckpointError
from .checkpoint import Checkpoint
from .claims import purpose, unused


def check_coverage(
    checkpoint: Checkpoint,
    expected: Mapping[str, tuple[int, ...]],
    kind: str,
    *,
    tied: bool,
    allowed: Iterable[str] = (),
) -> None:
    """Compare the checkpoint's tensors with those that the config promises.

    Args:
        checkpoint: of which the headers are enough, but for a head that should equal the embedding.
        expected: name → shape.
        kind: what the model is called in messages ("llama decoder").
        tied: the head is the embedding; a checkpoint may store it as well.
        allowed: patterns of tensors that are left out on purpose.

    Raises:
        CheckpointError: one is missing, has another shape, is no floating-point weight, or would be left out silently.
    """
    if checkpoint.sources(expected) - checkpoint.names == {purpose.HEAD}:
        raise purpose.no_head(checkpoint.config)
    for name, shape in expected.items():
        info = checkpoint.info(name)
        if info.shape != shape:
            raise CheckpointError(
                f"{checkpoint.file_of(name)}: {name} is {list(info.shape)}; by config.json it should be {list(shape)}.",
                "Config and weights are not of the same model.",
            )
        if info.dtype not in BY_STORED:
            raise CheckpointError(
                f"{checkpoint.file_of(name)}: {name} has the type {info.dtype}; weights of {NAMED} can be converted.",
                "Take an unquantized revision of the model.",
            )
    over = (
        name
        for name in checkpoint.names - checkpoint.sources(expected)
        if not unused.is_unused(name, checkpoint.config)
    )
    left = sorted(name for name in over if not any(fnmatch.fnmatch(name, pattern) for pattern in allowed))
    if tied and "lm_head.weight" in left:
        _require_tied(checkpoint)
        left.remove("lm_head.weight")
    if left:
        raise CheckpointError(
            f"{len(left)} tensors of the checkpoint have no place in a {kind}, "
            f"for example {left[0]}: converting the rest would make another model.",
            "It is not a plain model of this family (a vision model, an adapter?), or its config.json is another's.",
        )


def _require_tied(checkpoint: Checkpoint) -> None:
    """A tied checkpoint may store its head as well, if it is the embedding."""
    if not checkpoint.has_weights:
        return  # a plan knows only headers; the run will look
    head, table = (checkpoint.tensor(n) for n in ("lm_head.weight", "model.embed_tokens.weight"))
    if head.dtype != table.dtype or head.shape != table.shape or not np.array_equal(head, table):
        raise CheckpointError(
            "config.json says that the embeddings are tied, but lm_head.weight differs from model.embed_tokens.weight.",
            'Set "tie_word_embeddings": false in config.json if the head is meant to be used.',
        )

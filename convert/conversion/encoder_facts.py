"""What a manifest says of an encoder: the task, and what whoever uses it has to do with the states."""

from __future__ import annotations

from ...core.manifest import EncoderFacts
from ..program.encoder import Encoder, output_of


def facts(encoder: Encoder | None) -> EncoderFacts | None:
    """Return the manifest's section; None for what is no encoder."""
    if encoder is None:
        return None
    task = encoder.task
    return EncoderFacts(
        task=task.kind,
        output=output_of(encoder),
        pooling=task.pooling,
        normalize=task.normalize,
        dense=[layer.folder for layer in task.dense],
        max_length=task.max_length,
        positions=encoder.positions,
        labels=task.labels or None,
    )

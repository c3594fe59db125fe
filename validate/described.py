"""How the vision part of a reference is described for converters, where it has one."""

from __future__ import annotations

from ..convert import families
from ..convert.checkpoint import Checkpoint
from ..convert.program.vision import Vision


def vision(checkpoint: Checkpoint) -> Vision | None:
    """Describe the vision part; None of a checkpoint without one. Raises CheckpointError if config and tensors do not fit."""
    if families.vision_part(checkpoint.model_type, checkpoint.names) is None:
        return None
    return families.vision(checkpoint.config, checkpoint.names, families.decoder(checkpoint.config))

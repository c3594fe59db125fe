"""References that see, one a kind of model, in one interface."""

from __future__ import annotations

from ...convert.families.glm_edge_v_model.facts import is_glm_edge_v
from ..passes import TorchPasses
from .base import VisionLanguageReference

__all__ = ["VisionLanguageReference", "open_vision_reference"]


def open_vision_reference(passes: TorchPasses) -> VisionLanguageReference:
    """Open those of the passes' checkpoint. Raises CheckpointError if its files make no processor."""
    from .any_model import TransformersReference
    from .glm_edge_v import GlmEdgeVReference

    checkpoint = passes.pair.checkpoint
    return (GlmEdgeVReference if is_glm_edge_v(checkpoint.config, checkpoint.names) else TransformersReference)(passes)

"""The torch reference of the half that sees, layer by layer: every picture through one layer before the next is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.progress import Progress
from ..models import glm_edge_v
from .reference import Tensors, assign, loaded

Array = npt.NDArray[Any]
PREFIX = "model.vision."


def features(
    folder: Path, tensors: Tensors, pictures: Sequence[Array], *, dtype: str, progress: Progress, label: str
) -> list[Array]:
    """Run tower and adapter of GLM-Edge-V.

    Args:
        folder: of the checkpoint: config.json.
        tensors: the source of the weights.
        pictures: each float32 [3, S, S], normalised.
        dtype: torch's name of the type in which everything is computed.
        progress: hears of pictures times layers.
        label: what the step is called.

    Returns:
        For each picture float32 [rows, hidden].

    Raises:
        CheckpointError: the config describes no GLM-Edge-V.
    """
    import torch

    kind = getattr(torch, dtype)
    vision = _shell(folder)
    tower = vision.vit.model.vision_model
    prefix = f"{PREFIX}vit.model.vision_model."
    layers = tower.encoder.layers
    task = progress.task(label, (len(layers) + 2) * len(pictures))
    with torch.no_grad():
        with loaded(tower.embeddings, f"{prefix}embeddings.", tensors, kind):
            states = [tower.embeddings(torch.from_numpy(np.ascontiguousarray(p))[None].to(kind)) for p in pictures]
        task.advance(len(pictures))
        for i, layer in enumerate(layers):
            with loaded(layer, f"{prefix}encoder.layers.{i}.", tensors, kind):
                for d, made in enumerate(states):
                    output = layer(made, attention_mask=None)
                    states[d] = output[0] if isinstance(output, tuple) else output
                    task.advance(1)
        with (
            loaded(tower.post_layernorm, f"{prefix}post_layernorm.", tensors, kind),
            loaded(vision.adapter, f"{PREFIX}adapter.", tensors, kind),
        ):
            rows = [vision.adapter(tower.post_layernorm(made))[0].float().numpy() for made in states]
    task.finish()
    return rows


def _shell(folder: Path) -> Any:
    """The vision half without weights."""
    import torch

    from ..models.glm_edge_v.modeling import GlmEdgeVVision

    config = glm_edge_v.read_config(folder)
    config.vision_config._attn_implementation = "sdpa"
    with torch.device("meta"):
        vision = GlmEdgeVVision(config).eval()
    embeddings = vision.vit.model.vision_model.embeddings
    assign(embeddings, "position_ids", torch.arange(embeddings.num_positions)[None])
    return vision

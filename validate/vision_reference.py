"""The torch reference of the vision part, layer by layer: every picture through one layer before the next is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.families import glm_edge_v_model as glm_edge_v
from ..convert.families.glm_edge_v_model.facts import ADAPTER_GELU, ADAPTER_NORM_EPS
from ..core.progress import Progress, Task
from .gelu_table import looked_up
from .module_weights import Tensors, assign, loaded

Array = npt.NDArray[Any]
PREFIX = "model.vision."


@dataclass(frozen=True)
class Arithmetic:
    """What a runtime may compute otherwise than the model.

    Attributes:
        norm_eps: of the adapter's one normalization.
        gelu: `approximate` of the adapter's first activation.
        table: every GELU, the tower's too, is looked up in a table of float16, as ggml does (`ggml_vec_gelu_f32`).
    """

    norm_eps: float = ADAPTER_NORM_EPS
    gelu: str = ADAPTER_GELU
    table: bool = False


MODEL = Arithmetic()
"""The model's own."""


def features(
    folder: Path, tensors: Tensors, pictures: Sequence[Array], *, dtype: str, progress: Progress, label: str
) -> list[Array]:
    """Run tower and adapter of GLM-Edge-V, as the model computes them. Arguments, result and errors as `variants`."""
    return variants(folder, tensors, pictures, [MODEL], dtype=dtype, progress=progress, label=label)[0]


def variants(
    folder: Path,
    tensors: Tensors,
    pictures: Sequence[Array],
    wanted: Sequence[Arithmetic],
    *,
    dtype: str,
    progress: Progress,
    label: str,
) -> list[list[Array]]:
    """Run tower and adapter of GLM-Edge-V in several arithmetics; the tower once for all that differ in the adapter alone.

    Args:
        folder: of the checkpoint: config.json.
        tensors: the source of the weights.
        pictures: each float32 [3, S, S], normalized.
        wanted: the arithmetics.
        dtype: torch's name of the type in which everything is computed.
        progress: reports pictures times layers.
        label: what the step is called.

    Returns:
        For each arithmetic and each picture float32 [rows, hidden].

    Raises:
        CheckpointError: the config describes no GLM-Edge-V.
    """
    import torch

    kind = getattr(torch, dtype)
    made: dict[Arithmetic, list[Array]] = {}
    with torch.no_grad():
        for table in sorted({one.table for one in wanted}):
            vision = _shell(folder)
            layers = len(vision.vit.model.vision_model.encoder.layers)
            task = progress.task(label, (layers + 2) * len(pictures))
            states = _tower(vision, tensors, pictures, kind, task, table=table)
            task.finish()
            with loaded(vision.adapter, f"{PREFIX}adapter.", tensors, kind):
                for one in dict.fromkeys(one for one in wanted if one.table is table):
                    made[one] = [_adapted(vision.adapter, one)(state)[0].float().numpy() for state in states]
    return [made[one] for one in wanted]


def _tower(
    vision: Any, tensors: Tensors, pictures: Sequence[Array], kind: Any, task: Task, *, table: bool
) -> list[Any]:
    """Every picture through embeddings, layers and last normalization: [1, patches, width] each."""
    import torch

    tower = vision.vit.model.vision_model
    prefix = f"{PREFIX}vit.model.vision_model."
    with loaded(tower.embeddings, f"{prefix}embeddings.", tensors, kind):
        states = [tower.embeddings(torch.from_numpy(np.ascontiguousarray(p))[None].to(kind)) for p in pictures]
    task.advance(len(pictures))
    for i, layer in enumerate(tower.encoder.layers):
        if table:
            layer.mlp.activation_fn = _module(looked_up)
        with loaded(layer, f"{prefix}encoder.layers.{i}.", tensors, kind):
            for d, made in enumerate(states):
                output = layer(made, attention_mask=None)
                states[d] = output[0] if isinstance(output, tuple) else output
                task.advance(1)
    with loaded(tower.post_layernorm, f"{prefix}post_layernorm.", tensors, kind):
        return [tower.post_layernorm(made) for made in states]


def _adapted(adapter: Any, arithmetic: Arithmetic) -> Callable[[Any], Any]:
    """Return the adapter in an arithmetic; in the model's own it is the adapter itself."""
    if arithmetic == MODEL:
        return adapter  # type: ignore[no-any-return]
    from torch.nn import functional

    part, norm = adapter.linear_proj, adapter.linear_proj.norm1

    def projected(x: Any) -> Any:
        x = part.linear_proj(x)
        x = functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, arithmetic.norm_eps)
        x = looked_up(x) if arithmetic.table else functional.gelu(x, approximate=arithmetic.gelu)
        return part.dense_4h_to_h(functional.silu(part.gate_proj(x)) * part.dense_h_to_4h(x))

    def whole(states: Any) -> Any:
        own = part.forward
        part.forward = projected
        try:
            return adapter(states)
        finally:
            part.forward = own

    return whole


def _module(function: Callable[[Any], Any]) -> Any:
    import torch

    class Activation(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return function(x)

    return Activation()


def _shell(folder: Path) -> Any:
    """The vision half without weights."""
    import torch

    from ..convert.families.glm_edge_v_model.modeling import GlmEdgeVVision

    config = glm_edge_v.read_config(folder)
    config.vision_config._attn_implementation = "sdpa"
    with torch.device("meta"):
        vision = GlmEdgeVVision(config).eval()
    embeddings = vision.vit.model.vision_model.embeddings
    assign(embeddings, "position_ids", torch.arange(embeddings.num_positions)[None])
    return vision

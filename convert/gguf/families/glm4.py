"""GLM-4-0414 (`model_type: glm4`, arch "glm4"): GLM's block with a second norm behind attention and MLP.

Sources: `src/models/glm4.cpp` and `conversion/glm.py` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ... import families
from ...families import glm
from . import config as read
from .model import BLOCK, Model, model, require_activation

MODEL_TYPES = ("glm4",)
ARCH = "glm4"
_EXTRA = {"post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm"}


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that are read."""
    return families.fields("glm")


def describe(config: dict[str, Any]) -> Model:
    """Read config.json. Raises CheckpointError for what llama.cpp's graph lacks."""
    decoder = read.decoder({**config, "model_type": "glm"})  # the same fields with the same defaults
    require_activation(decoder, "silu", ARCH)
    context = read.context(config, glm.DEFAULTS["max_position_embeddings"])
    scaling = read.scaling(config, decoder, context)
    shapes = {
        f"model.layers.{layer}.{name}.weight": (decoder.hidden_size,)
        for layer in range(decoder.num_layers)
        for name in _EXTRA
    }
    return model(ARCH, decoder, context, keys=scaling.keys, shapes=shapes, block=BLOCK | _EXTRA)

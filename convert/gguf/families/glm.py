"""GLM: GLM-Edge chat, the language half of GLM-Edge-V, and GLM-4 chat in transformers' native form (arch "chatglm").

Rows of q and k stay as they are (llama.cpp turns neighbouring pairs here), ffn_up holds gate and up, gate first.
Sources: `src/models/chatglm.cpp` and `conversion/chatglm.py` of llama.cpp. The converter there takes context_length from
seq_length or else hidden_size, the epsilon from layernorm_epsilon or else 1e-5, the base from rope_ratio alone; we take what
GlmConfig reads: max_position_embeddings, rms_norm_eps, rope_theta.
"""

from __future__ import annotations

from typing import Any

from ....models.glm_edge_v.facts import VISION
from ... import families
from ...families import glm
from . import config as read
from .model import Model, model, require_activation, require_square

MODEL_TYPES = ("glm", "glm_edge_v")
ARCH = "chatglm"


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that are read."""
    return families.fields("glm")


def describe(config: dict[str, Any]) -> Model:
    """Read config.json. Raises CheckpointError for what llama.cpp's graph lacks."""
    decoder = read.decoder(config)
    require_square(decoder, ARCH)
    require_activation(decoder, "silu", ARCH)
    context = read.context(config, glm.DEFAULTS["max_position_embeddings"])
    scaling = read.scaling(config, decoder, context)
    return model(ARCH, decoder, context, keys=scaling.keys, left_out=(f"{VISION}*",))

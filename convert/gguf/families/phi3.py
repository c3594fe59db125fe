"""Phi-3, Phi-3.5 and Phi-4-mini (arch "phi3"): q, k, v in one tensor, gate and up in one; long-context rope as two tensors.

Sources: `src/models/phi3.cpp` and `conversion/phi.py` of llama.cpp. llama.cpp chooses between the two sets of factors by the size
of the context that a user opens, transformers by the length of the text.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import families
from ...families import phi3
from ...families.decoder import Decoder
from ..header import f32, u32
from . import config as read
from .model import Model, model, refuse, require_activation, require_square

MODEL_TYPES = ("phi3",)
ARCH = "phi3"


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that are read."""
    return families.fields(model_type)


def describe(config: dict[str, Any]) -> Model:
    """Read config.json. Raises CheckpointError for what llama.cpp's graph lacks."""
    decoder = read.decoder(config)
    require_square(decoder, ARCH)
    require_activation(decoder, "silu", ARCH)
    context = read.context(config, phi3.DEFAULTS["max_position_embeddings"])
    scaling = _longrope(config, decoder, context)
    context, notes = read.within_window(config, None, context)
    return model(
        ARCH, decoder, context,
        # 0 says "no window"; llama.cpp ignores any other number in this architecture
        keys={"attention.sliding_window": u32(config.get("sliding_window") or 0), **scaling.keys},
        constants=scaling.factors,
        notes=notes,
    )  # fmt: skip


def _longrope(config: dict[str, Any], decoder: Decoder, context: int) -> read.Scaling:
    """Translate rope scaling; transformers takes "su" and "yarn" of old Phi-3 configs for "longrope"."""
    parameters = read.rope_parameters(config)
    if read.rope_kind(parameters) not in ("longrope", "su", "yarn"):
        return read.scaling(config, decoder, context)
    original = (
        config.get("original_max_position_embeddings") or parameters.get("original_max_position_embeddings") or context
    )
    factor = parameters.get("factor") or context / original
    attention = parameters.get("attention_factor")
    if attention is None:
        attention = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    factors = {}
    for name in ("long", "short"):
        values = np.asarray(parameters.get(f"{name}_factor") or (), np.float32)
        if values.shape != (decoder.rope.dim // 2,):
            raise refuse(
                f"rope's {name}_factor has {values.size} numbers, not {decoder.rope.dim // 2}", "Repair config.json."
            )
        factors[f"rope_factors_{name}.weight"] = values
    keys = {"rope.scaling.original_context_length": u32(original), "rope.scaling.attn_factor": f32(attention)}
    return read.Scaling(keys, factors)

"""Phi-3, Phi-3.5 and Phi-4-mini: q, k and v are one projection, and so are gate and up (gate first).

The stream engines take the default rope; the long-context kind goes through a trace engine, and becomes two tensors in a GGUF.
llama.cpp chooses between its two sets of factors by the size of the context that a user opens, transformers by the length of the
text. Sources: `transformers/models/phi3/modeling_phi3.py`; `src/models/phi3.cpp` and `conversion/phi.py` of llama.cpp.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..gguf_values import Value, f32, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors, Stretch
from ..program.reading import Config, UnsupportedArchitecture
from ..program.rope import kind_of, parameters
from ..program.spec import Family


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    # 0 says "no window"; llama.cpp ignores any other number in this architecture
    return {"attention.sliding_window": u32(config.get("sliding_window") or 0)}


def _stretch(config: Config, decoder: Decoder, context: int) -> Stretch | None:
    """Translate long rope; transformers takes "su" and "yarn" of old Phi-3 configs for "longrope"."""
    table = parameters(config)
    if str(kind_of(table)) not in ("longrope", "su", "yarn"):
        return None
    original = (
        config.get("original_max_position_embeddings") or table.get("original_max_position_embeddings") or context
    )
    factor = table.get("factor") or context / original
    attention = table.get("attention_factor")
    if attention is None:
        attention = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    factors = {}
    for name in ("long", "short"):
        values = np.asarray(table.get(f"{name}_factor") or (), np.float32)
        if values.shape != (decoder.rope.dim // 2,):
            raise UnsupportedArchitecture(
                f"rope's {name}_factor has {values.size} numbers, not {decoder.rope.dim // 2}", "Repair config.json."
            )
        factors[f"rope_factors_{name}.weight"] = values
    keys = {"rope.scaling.original_context_length": u32(original), "rope.scaling.attn_factor": f32(attention)}
    return Stretch(keys, factors)


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    return {"sliding_window": keys.get("attention.sliding_window") or None}


FAMILY = Family(
    "phi3",
    "Phi3ForCausalLM",
    {
        "head_dim": None,
        "num_key_value_heads": None,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "partial_rotary_factor": 1.0,
        "max_position_embeddings": 4096,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "sliding_window": None,
    },
    partial_rotary=True,
    fused_qkv=True,
    fused_gate_up=True,
    gguf=Gguf(
        "phi3",
        square_heads=True,
        keys=_keys,
        stretch=_stretch,
        reads=frozenset(["attention.sliding_window"]),
        to_config=_to_config,
    ),
)

"""Qwen3: Llama's block with norms on q and k. llama.cpp turns halves here, so rows stay as they are.

Sources: `transformers/models/qwen3/`; `src/models/qwen3.cpp` and `conversion/qwen.py` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors
from ..program.spec import Family
from .llama import biased, common


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    return {"attention_bias": biased(file, "attn_q"), "use_sliding_window": False}


FAMILY = Family(
    "qwen3",
    "Qwen3ForCausalLM",
    common(
        without=("mlp_bias",),
        head_dim=128,
        num_key_value_heads=32,
        use_sliding_window=False,
        max_position_embeddings=32768,
    ),
    qk_norm=True,
    gguf=Gguf("qwen3", output_bias=False, to_config=_to_config),
)

"""Qwen2 and Qwen2.5: Llama's block with biases on q, k and v. llama.cpp turns halves here, so rows stay as they are.

Sources: `transformers/models/qwen2/`; `src/models/qwen2.cpp` and `conversion/qwen.py` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors
from ..program.spec import Family
from .llama import common


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    return {"use_sliding_window": False}


FAMILY = Family(
    "qwen2",
    "Qwen2ForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        num_key_value_heads=32,
        use_sliding_window=False,
        max_position_embeddings=32768,
    ),
    qkv_bias=True,
    gguf=Gguf("qwen2", square_heads=True, is_70b=lambda decoder: decoder.num_layers == 80, to_config=_to_config),
)

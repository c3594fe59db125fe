"""Mistral: Llama's block; some checkpoints attend through a window, which llama.cpp's graph has not.

In a GGUF a Mistral is a Llama. Source: `transformers/models/mistral/`.
"""

from __future__ import annotations

from ..program.spec import Family
from .llama import GGUF, common

FAMILY = Family(
    "mistral",
    "MistralForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        num_key_value_heads=8,
        sliding_window=4096,
        max_position_embeddings=131072,
    ),
    gguf=GGUF,
)

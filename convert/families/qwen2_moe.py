"""Qwen2 MoE: Qwen2's block (biases on q, k and v) with experts, and one that all tokens pass through, with a gate of its own.

Sources: `transformers/models/qwen2_moe/`; `src/models/qwen2moe.cpp` and `conversion/qwen.py` of llama.cpp, whose graph never
divides the chosen experts' scores by their sum, and has experts in every layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..program.decoder import Decoder
from ..program.experts import COUNTS, SEPARATE, read_experts, read_shared, require_everywhere
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from .llama import common


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.get("use_sliding_window"):
        raise UnsupportedArchitecture(
            "some of its layers attend through sliding windows, of which no checkpoint was seen"
        )
    experts = read_experts(read, read_shared(read))
    return replace(decoder, qkv_bias=bool(read.get("qkv_bias")), experts=experts)


def _keys(config: Config, decoder: Decoder) -> dict[str, Any]:
    """Refuse what llama.cpp's graph computes otherwise."""
    if any(one.normalized for one in require_everywhere(decoder.experts, "qwen2moe")):
        raise UnsupportedArchitecture(
            "norm_topk_prob is true, and llama.cpp's qwen2moe never divides the chosen experts' scores by their sum"
        )
    return {}


FAMILY = Family(
    "qwen2_moe",
    "Qwen2MoeForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        num_key_value_heads=16,
        use_sliding_window=False,
        max_position_embeddings=32768,
        num_experts=60,
        num_experts_per_tok=4,
        moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632,
        norm_topk_prob=False,
        decoder_sparse_step=1,
        qkv_bias=True,
    ),
    qkv_bias=True,
    output_bias=False,
    experts=SEPARATE,
    details=_described,
    also_reads=COUNTS | {"mlp_only_layers", "max_window_layers"},
    gguf=Gguf("qwen2moe", square_heads=True, keys=_keys),
)

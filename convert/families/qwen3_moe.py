"""Qwen3 MoE: Qwen3's block with experts in the place of its MLP, in all layers or in some.

Sources: `transformers/models/qwen3_moe/`; `src/models/qwen3moe.cpp` and `conversion/qwen.py` of llama.cpp, whose graph divides
the chosen experts' scores by their sum, and has experts in every layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..program.decoder import Decoder
from ..program.experts import COUNTS, SEPARATE, read_experts, require_everywhere
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from .llama import common


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.get("use_sliding_window"):
        raise UnsupportedArchitecture("all its layers attend through sliding windows, of which no checkpoint was seen")
    return replace(decoder, experts=read_experts(read))


def _keys(config: Config, decoder: Decoder) -> dict[str, Any]:
    """Refuse what llama.cpp's graph computes otherwise."""
    if not all(one.normalized for one in require_everywhere(decoder.experts, "qwen3moe")):
        raise UnsupportedArchitecture(
            "norm_topk_prob is false, and llama.cpp's qwen3moe always divides the chosen experts' scores by their sum"
        )
    return {}


FAMILY = Family(
    "qwen3_moe",
    "Qwen3MoeForCausalLM",
    common(
        without=("mlp_bias",),
        num_key_value_heads=4,
        use_sliding_window=False,
        max_position_embeddings=32768,
        num_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=768,
        norm_topk_prob=False,
        decoder_sparse_step=1,
    ),
    qk_norm=True,
    experts=SEPARATE,
    details=_described,
    also_reads=COUNTS | {"mlp_only_layers"},
    gguf=Gguf("qwen3moe", output_bias=False, keys=_keys),
)

"""Qwen3-Next: Qwen 3.5's layers, with experts in the place of the MLP; the delta rule's projections are in order of its keys.

Source: `transformers/models/qwen3_next/`. llama.cpp's qwen3next wants these projections apart: no GGUF is written.
"""

from __future__ import annotations

from dataclasses import replace

from ..program.decoder import Decoder
from ..program.experts import COUNTS, SEPARATE, read_experts, read_shared
from ..program.reading import Reader
from . import qwen3_5_text


def _described(read: Reader, decoder: Decoder) -> Decoder:
    decoder = replace(decoder, experts=read_experts(read, read_shared(read)))
    return qwen3_5_text.described(read, decoder, by_key=True)


FAMILY = replace(
    qwen3_5_text.FAMILY,
    model_type="qwen3_next",
    architecture="Qwen3NextForCausalLM",
    defaults=qwen3_5_text.DEFAULTS
    | {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 48,
        "num_key_value_heads": 2,
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
        "num_experts_per_tok": 10,
        "num_experts": 512,
        "norm_topk_prob": True,
    },
    experts=SEPARATE,
    details=_described,
    within=frozenset(),
    also_reads=qwen3_5_text.FAMILY.also_reads | COUNTS | {"mlp_only_layers"},
    gguf=None,
)

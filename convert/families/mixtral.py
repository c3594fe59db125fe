"""Mixtral: Mistral's block with experts in the place of its MLP, which its checkpoints call w1, w3 and w2 of block_sparse_moe.

llama.cpp has no architecture of this name: it is "llama" with experts, q and k reordered as there.
Sources: `transformers/models/mixtral/`; `src/models/llama.cpp` and `conversion/llama.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..program.decoder import Decoder
from ..program.experts import COUNTS, JOINED, Experts, Stored, read_count
from ..program.gguf_spec import Gguf
from ..program.reading import Reader
from ..program.spec import Family
from .llama import common

STORED = Stored(
    each={role: f"mlp.experts.{{}}.{name}.weight" for role, name in (("gate", "w1"), ("up", "w3"), ("down", "w2"))},
    whole=JOINED,
)


def _described(read: Reader, decoder: Decoder) -> Decoder:
    experts = Experts(read_count(read), read.size("num_experts_per_tok"), decoder.intermediate_size, stored=STORED)
    return replace(decoder, experts=(experts,) * decoder.num_layers)


FAMILY = Family(
    "mixtral",
    "MixtralForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        num_key_value_heads=8,
        rms_norm_eps=1e-05,
        rope_theta=1e6,
        sliding_window=None,
        max_position_embeddings=131072,
        num_local_experts=8,
        num_experts_per_tok=2,
    ),
    qkv_bias=False,
    output_bias=False,
    experts=STORED,
    renamed={".block_sparse_moe.": ".mlp."},
    details=_described,
    also_reads=COUNTS,
    gguf=Gguf("llama", permute_qk=True, rope_factors=True, output_bias=False),
)

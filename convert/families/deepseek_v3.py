"""DeepSeek V3, in 16 bits: latent attention, and experts in groups behind the first layers, chosen by corrected sigmoid scores.

Sources: `transformers/models/deepseek_v3/`; llama.cpp's deepseek2 (`program.latent_gguf`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..program import latent_gguf
from ..program.decoder import Decoder
from ..program.experts import COUNTS, SEPARATE, Experts, behind_dense, read_grouped
from ..program.latent import read_latent, score_scale
from ..program.reading import Reader, UnsupportedArchitecture
from ..program.rope import Rope, read_rope
from ..program.spec import Family
from .llama import common


def attending(read: Reader, decoder: Decoder) -> Decoder:
    """Give a decoder its latent attention."""
    latent = read_latent(read)
    scale = score_scale(latent, decoder.rope)
    return replace(decoder, latent=latent, num_kv_heads=latent.heads, attention_scale=scale, output_bias=latent.bias)


def width(read: Reader) -> int:
    """Return the width of a query, and of a key."""
    return read.size("qk_nope_head_dim") + read.size("qk_rope_head_dim")


def rope(read: Reader, head_dim: int) -> Rope:
    """Return the rotary embedding of the rotated part."""
    return read_rope(read, read.size("qk_rope_head_dim"), interleaved=bool(read.get("rope_interleave")))


def require(read: Reader, **values: str) -> None:
    """Raise UnsupportedArchitecture for fields that transformers does not read, where they state another thing than it does."""
    for name, value in values.items():
        if read.config.get(name) not in (None, value):
            raise UnsupportedArchitecture(f"{name} is {read.config[name]!r}, and transformers computes with {value!r}")


def routed(read: Reader) -> Experts:
    """Read the experts of V3."""
    require(read, scoring_func="sigmoid", topk_method="noaux_tc")
    return read_grouped(read)


def _described(read: Reader, decoder: Decoder) -> Decoder:
    return replace(attending(read, decoder), experts=behind_dense(read, decoder.num_layers, routed(read)))


DEFAULTS: dict[str, Any] = common(
    without=("head_dim", "mlp_bias"),
    num_key_value_heads=128,
    max_position_embeddings=4096,
    moe_intermediate_size=2048,
    n_shared_experts=1,
    n_routed_experts=256,
    routed_scaling_factor=2.5,
    kv_lora_rank=512,
    q_lora_rank=1536,
    qk_rope_head_dim=64,
    v_head_dim=128,
    qk_nope_head_dim=128,
    n_group=8,
    topk_group=4,
    num_experts_per_tok=8,
    first_k_dense_replace=3,
    norm_topk_prob=True,
    rope_interleave=True,
)
FAMILY = Family(
    "deepseek_v3",
    "DeepseekV3ForCausalLM",
    DEFAULTS,
    qkv_bias=False,
    output_bias=False,
    experts=SEPARATE,
    details=_described,
    head_dim=width,
    rope=rope,
    also_reads=COUNTS | {"scoring_func", "topk_method"},
    gguf=latent_gguf.known_as("deepseek2"),
)

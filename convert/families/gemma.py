"""Gemma, and what all Gemmas have in common: embeddings scaled by the root of their width, norms whose weights lack 1.

Source: `transformers/models/gemma/`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..program.decoder import Decoder
from ..program.description import Norms
from ..program.gguf_spec import GELU_BUDGETS, Gguf, require_tied
from ..program.reading import Reader, UnsupportedArchitecture, positive
from ..program.spec import Family
from .llama import common

NORMS = Norms(
    after_attention="post_attention_layernorm",
    before_mlp="pre_feedforward_layernorm",
    after_mlp="post_feedforward_layernorm",
)
"""The norms of a layer since Gemma 2."""


def described(read: Reader, decoder: Decoder) -> Decoder:
    """Return the description with the scale of embeddings, and since Gemma 2 the scale and the caps of scores and logits."""
    if read.config.get("use_bidirectional_attention"):
        raise UnsupportedArchitecture("its positions see what comes after them")
    scalar = read.get("query_pre_attn_scalar") if "query_pre_attn_scalar" in read.defaults else None
    return replace(
        decoder,
        embedding_scale=math.sqrt(decoder.hidden_size),
        attention_scale=None if scalar is None else positive(scalar, "query_pre_attn_scalar") ** -0.5,
        attention_softcap=cap(read, "attn_logit_softcapping"),
        logit_softcap=cap(read, "final_logit_softcapping"),
    )


def cap(read: Reader, key: str) -> float | None:
    """Return a cap; null says that there is none."""
    value = read.config[key] if key in read.config else read.get(key) if key in read.defaults else None
    return None if value is None else positive(value, key)


FAMILY = Family(
    "gemma",
    "GemmaForCausalLM",
    common(
        without=("mlp_bias",),
        head_dim=256,
        num_key_value_heads=16,
        max_position_embeddings=8192,
        hidden_act="gelu_pytorch_tanh",
        tie_word_embeddings=True,
    ),
    norm_offset=1.0,
    also_reads=frozenset(["use_bidirectional_attention"]),
    details=described,
    gguf=Gguf(
        "gemma",
        activation="gelu_pytorch_tanh",
        norm_offset=1.0,
        keys=require_tied,
        to_config=lambda file, keys: {"attention_bias": False},
        budgets=GELU_BUDGETS,
    ),
)

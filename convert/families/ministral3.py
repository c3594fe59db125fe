"""Ministral 3, text: Llama's block with YaRN, and queries that grow with the logarithm of their position.

Sources: `transformers/models/ministral3/`; `src/models/mistral3.cpp` and `conversion/mistral.py` of llama.cpp, which rotates
neighboring pairs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..gguf_values import Value, f32
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture, positive
from ..program.rope import Rope, parameters, read_rope
from ..program.spec import Family
from .llama import common

_TABLE: dict[str, Any] = {
    "rope_type": "yarn", "rope_theta": 1_000_000.0, "factor": 16.0, "original_max_position_embeddings": 16384,
    "beta_fast": 32.0, "beta_slow": 1.0, "mscale_all_dim": 1.0, "mscale": 1.0, "llama_4_scaling_beta": 0.1,
}  # fmt: skip
"""What transformers takes where config.json states no rotary embedding."""


def _table(read: Reader) -> dict[str, Any]:
    return parameters(read.config) or _TABLE


def _with_table(config: Config) -> Config:
    return {**config, "rope_scaling": None, "rope_parameters": parameters(config) or _TABLE}


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return how fast queries grow; llama.cpp takes YaRN's original length for the length of a step."""
    if decoder.query_growth is None:
        return {}
    if decoder.rope.kind != "yarn":
        raise UnsupportedArchitecture(
            "its queries grow with their position, and it has no YaRN, whose length llama.cpp takes"
        )
    return {"attention.temperature_scale": f32(decoder.query_growth[0])}


def _rope(read: Reader, head_dim: int) -> Rope:
    stated = {**read.config, "rope_scaling": None, "rope_parameters": _table(read)}
    return read_rope(Reader(stated, read.defaults), head_dim)


def _described(read: Reader, decoder: Decoder) -> Decoder:
    table = _table(read)
    beta, length = table.get("llama_4_scaling_beta"), table.get("original_max_position_embeddings")
    if not beta:
        return decoder
    names = (f"rope_parameters.{name}" for name in ("llama_4_scaling_beta", "original_max_position_embeddings"))
    return replace(decoder, query_growth=(positive(beta, next(names)), positive(length, next(names))))


FAMILY = Family(
    "ministral3",
    "Ministral3ForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        head_dim=128,
        num_key_value_heads=8,
        rms_norm_eps=1e-05,
        rope_theta=1_000_000.0,
        max_position_embeddings=262144,
        sliding_window=None,
    ),
    rope=_rope,
    details=_described,
    gguf=Gguf(
        "mistral3",
        permute_qk=True,
        rope_factors=True,
        output_bias=False,
        flatten=_with_table,
        keys=_keys,
        readable=False,
    ),
)

"""Granite 3: Llama's block with four factors: of embeddings, scores, residuals and logits. llama.cpp turns neighboring pairs.

Sources: `transformers/models/granite/`; `src/models/granite.cpp` and `conversion/granite.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value, f32
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader
from ..program.spec import Family
from .llama import COMMON, biased

FACTORS = {
    "embedding_multiplier": "embedding_scale",
    "attention_multiplier": "attention.scale",
    "residual_multiplier": "residual_scale",
    "logits_scaling": "logit_scale",
}
"""config.json's names of the factors, and llama.cpp's."""


def described(read: Reader, decoder: Decoder) -> Decoder:
    """Take the factors over."""
    return replace(
        decoder,
        embedding_scale=read.number("embedding_multiplier"),
        attention_scale=read.number("attention_multiplier"),
        residual_scale=read.number("residual_multiplier"),
        logit_scale=1.0 / read.number("logits_scaling"),
    )


def keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the factors as a GGUF states them."""
    read = FAMILY.reader(config)
    return {key: f32(read.number(name)) for name, key in FACTORS.items()}


FAMILY = Family(
    "granite",
    "GraniteForCausalLM",
    {**COMMON, **dict.fromkeys(FACTORS, 1.0)},
    details=described,
    gguf=Gguf(
        "granite",
        permute_qk=True,
        rope_factors=True,
        keys=keys,
        reads=frozenset(FACTORS.values()),
        to_config=lambda file, keys: {
            **{name: keys.number(key, 1.0) for name, key in FACTORS.items()},
            "attention_bias": biased(file, "attn_q"),
            "mlp_bias": biased(file, "ffn_gate"),
        },
    ),
)

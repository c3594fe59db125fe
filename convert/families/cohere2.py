"""Cohere 2 (Command R7B): attention and MLP read one LayerNorm without bias; layers without a window have no rotary embedding.

Source: `transformers/models/cohere2/`.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value, f32, u32
from ..program.decoder import Decoder
from ..program.description import Norms
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from ..program.windows import SLIDING, layer_kinds
from .llama import common

_EVERY = 4
"""Every so many layers one has no window."""


def _described(read: Reader, decoder: Decoder) -> Decoder:
    rotated = (kind == SLIDING for kind in layer_kinds(read, _EVERY))
    return replace(
        decoder,
        parallel=True,
        ropes=tuple(decoder.rope if yes else None for yes in rotated),
        logit_scale=read.number("logit_scale"),
    )


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return window and scale; refuse what llama.cpp's graph has built in otherwise."""
    read = FAMILY.reader(config)
    every = [(layer + 1) % _EVERY != 0 for layer in range(decoder.num_layers)]
    if [kind == SLIDING for kind in layer_kinds(read, _EVERY)] != every:
        raise UnsupportedArchitecture("its layers without a window are not each fourth one, as in llama.cpp's cohere2")
    if not decoder.tied or decoder.qkv_bias:
        raise UnsupportedArchitecture("it has biases, or a head of its own, which llama.cpp's cohere2 does not load")
    window = u32(read.size("sliding_window"))
    return {"attention.sliding_window": window, "logit_scale": f32(decoder.logit_scale)}


FAMILY = Family(
    "cohere2",
    "Cohere2ForCausalLM",
    common(
        without=("mlp_bias",),
        rms_norm_eps=1e-05,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        sliding_window=4096,
        logit_scale=0.0625,
    ),
    interleaved_rope=True,
    layer_norm=True,
    norms=Norms(before_mlp=None),
    full_every=_EVERY,
    aliases={"layer_norm_eps": "rms_norm_eps"},
    also_reads=frozenset(["sliding_window_pattern", "position_embedding_type"]),
    details=_described,
    gguf=Gguf(
        "cohere2",
        windows=True,
        output_bias=False,
        keys=_keys,
        reads=frozenset(["logit_scale", "attention.sliding_window", "attention.layer_norm_epsilon"]),
        to_config=lambda file, keys: {
            "logit_scale": keys.number("logit_scale"),
            "sliding_window": keys.size("attention.sliding_window"),
            "attention_bias": False,
        },
    ),
)

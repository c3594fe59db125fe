"""Cohere (Command R, Aya Expanse): attention and MLP read one LayerNorm without bias; neighboring pairs are rotated.

Sources: `transformers/models/cohere/`; `src/models/command-r.cpp` and `conversion/command_r.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value, f32
from ..program.decoder import Decoder
from ..program.description import Norms
from ..program.gguf_spec import Gguf, require_tied
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from .llama import common

_NORMED = 64
"""Layers from which on llama.cpp's loader wants norms of q and k."""


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.get("use_qk_norm"):
        raise UnsupportedArchitecture("each head of q and k has a norm of its own")
    return replace(decoder, parallel=True, logit_scale=read.number("logit_scale"))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    if decoder.num_layers >= _NORMED:
        raise UnsupportedArchitecture(
            f"it has {decoder.num_layers} layers and no norms of q and k, which llama.cpp's command-r wants from {_NORMED} on"
        )
    return require_tied(config, decoder) | {"logit_scale": f32(decoder.logit_scale)}


FAMILY = Family(
    "cohere",
    "CohereForCausalLM",
    common(
        without=("mlp_bias", "head_dim"),
        rms_norm_eps=1e-05,
        rope_theta=500_000.0,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        logit_scale=0.0625,
        use_qk_norm=False,
    )
    | {"head_dim": None},
    interleaved_rope=True,
    layer_norm=True,
    norms=Norms(before_mlp=None),
    aliases={"layer_norm_eps": "rms_norm_eps"},
    also_reads=frozenset(["position_embedding_type"]),
    details=_described,
    gguf=Gguf(
        "command-r",
        square_heads=True,
        output_bias=False,
        keys=_keys,
        reads=frozenset(["logit_scale", "attention.layer_norm_epsilon"]),
        to_config=lambda file, keys: {
            "logit_scale": keys.number("logit_scale"),
            "attention_bias": False,
            "use_qk_norm": False,
        },
    ),
)

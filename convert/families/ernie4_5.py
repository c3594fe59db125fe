"""ERNIE 4.5, dense: Llama's block; neighboring pairs are rotated, as llama.cpp does. One switch gives all projections biases.

Sources: `transformers/models/ernie4_5/`; `src/models/ernie4-5.cpp` and `conversion/ernie.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from .llama import common


def _described(read: Reader, decoder: Decoder) -> Decoder:
    biased = bool(read.get("use_bias"))
    return replace(decoder, qkv_bias=biased, output_bias=biased, mlp_bias=biased)


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    if decoder.mlp_bias:
        raise UnsupportedArchitecture("its projections have biases, which llama.cpp's ernie4_5 does not load")
    return {}


FAMILY = Family(
    "ernie4_5",
    "Ernie4_5ForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        head_dim=128,
        num_key_value_heads=2,
        rms_norm_eps=1e-05,
        rope_theta=500_000.0,
        max_position_embeddings=131072,
        tie_word_embeddings=True,
        use_bias=False,
    ),
    qkv_bias=False,
    output_bias=False,
    interleaved_rope=True,
    details=_described,
    gguf=Gguf("ernie4_5", keys=_keys, to_config=lambda file, keys: {"use_bias": False}),
)

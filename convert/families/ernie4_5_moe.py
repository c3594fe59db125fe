"""ERNIE 4.5 with experts: behind the first layers, chosen by corrected softmax scores, beside those that all tokens pass through.

Sources: `transformers/models/ernie4_5_moe/`; `src/models/ernie4-5-moe.cpp` and `conversion/ernie.py` of llama.cpp, whose loader
wants experts in every layer behind the first ones.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value, u32
from ..program.decoder import Decoder
from ..program.experts import SEPARATE, Experts, Shared, bounded, in_layers
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture, whole, wrong
from ..program.spec import Family
from .llama import common

_LEAST = 1e-6
"""Far below what the chosen experts' scores of a softmax ever sum up to."""


def _sparse(read: Reader, layers: int) -> list[bool]:
    """Tell layer by layer which has experts."""
    first, last = read.get("moe_layer_start_index"), read.config.get("moe_layer_end_index", -1)
    for name, value in (("moe_layer_start_index", first), ("moe_layer_end_index", last)):
        if type(value) is not int or value < -1:
            raise wrong(name, value, "the number of a layer")
    last = layers - 1 if last == -1 else last
    every = whole(read.get("moe_layer_interval"), "moe_layer_interval")
    return [(layer + 1) % every == 0 and first <= layer <= last for layer in range(layers)]


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.get("use_bias"):
        raise UnsupportedArchitecture("its projections have biases, of which no checkpoint with experts was seen")
    if read.number("moe_norm_min") > _LEAST:
        raise UnsupportedArchitecture(
            f"moe_norm_min is {read.number('moe_norm_min')}, and scores are divided by their sum"
        )
    width, shared = read.size("moe_intermediate_size"), read.get("moe_num_shared_experts")
    if type(shared) is not int or shared < 0:
        raise wrong("moe_num_shared_experts", shared, "a number of experts")
    experts = Experts(
        count=bounded(read.size("moe_num_experts")),
        used=read.size("moe_k"),
        width=width,
        correction="mlp.gate.moe_statics.e_score_correction_bias",
        correction_rows=True,
        shared=Shared(width * shared, "mlp.shared_experts") if shared else None,
    )
    return replace(decoder, experts=in_layers(experts, _sparse(read, decoder.num_layers)))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return which layers have experts; refuse what llama.cpp's loader has otherwise."""
    dense = sum(one is None for one in decoder.experts)
    if not decoder.experts or any(one is None for one in decoder.experts[dense:]):
        raise UnsupportedArchitecture(
            "behind the first layer with experts one has none, unlike in llama.cpp's ernie4_5-moe"
        )
    return {"interleave_moe_layer_step": u32(1), "leading_dense_block_count": u32(dense)}


FAMILY = Family(
    "ernie4_5_moe",
    "Ernie4_5_MoeForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        num_key_value_heads=4,
        rms_norm_eps=1e-05,
        rope_theta=500_000.0,
        max_position_embeddings=131072,
        tie_word_embeddings=True,
        use_bias=False,
        moe_intermediate_size=1536,
        moe_k=6,
        moe_num_experts=64,
        moe_num_shared_experts=2,
        moe_layer_start_index=1,
        moe_layer_interval=1,
        moe_norm_min=1e-12,
    ),
    qkv_bias=False,
    output_bias=False,
    interleaved_rope=True,
    experts=SEPARATE,
    renamed={".mlp.moe_statics.": ".mlp.gate.moe_statics."},
    details=_described,
    also_reads=frozenset(["moe_layer_end_index"]),
    gguf=Gguf("ernie4_5-moe", output_bias=False, keys=_keys),
)

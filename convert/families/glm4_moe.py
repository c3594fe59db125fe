"""GLM-4.5 and later: experts behind the first layers, chosen by corrected sigmoid scores, and one that all tokens pass through.

Sources: `transformers/models/glm4_moe/`; `src/models/glm4-moe.cpp` and `conversion/glm.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value, boolean, f32, u32
from ..program.decoder import Decoder
from ..program.experts import COUNTS, SEPARATE, behind_dense, read_grouped
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from .llama import common

_SIGMOID = 2
"""llama.cpp's number of the scores."""


def _described(read: Reader, decoder: Decoder) -> Decoder:
    layers = behind_dense(read, decoder.num_layers, read_grouped(read))
    return replace(decoder, experts=layers, qk_norm=bool(read.get("use_qk_norm")))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    experts = next((one for one in decoder.experts if one), None)
    if experts is None or experts.groups > 1:
        raise UnsupportedArchitecture("its experts are in groups, or it has none, unlike those of llama.cpp's glm4moe")
    return {
        "leading_dense_block_count": u32(sum(one is None for one in decoder.experts)),
        "expert_shared_count": u32(FAMILY.reader(config).size("n_shared_experts")),
        "expert_weights_scale": f32(experts.factor),
        "expert_weights_norm": boolean(experts.normalized),
        "expert_gating_func": u32(_SIGMOID),
    }


FAMILY = Family(
    "glm4_moe",
    "Glm4MoeForCausalLM",
    common(
        without=("mlp_bias",),
        rms_norm_eps=1e-05,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        partial_rotary_factor=0.5,
        n_routed_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=1408,
        n_shared_experts=1,
        first_k_dense_replace=1,
        routed_scaling_factor=1.0,
        norm_topk_prob=True,
        n_group=1,
        topk_group=1,
        use_qk_norm=False,
    ),
    partial_rotary=True,
    output_bias=False,
    experts=SEPARATE,
    details=_described,
    also_reads=COUNTS,
    gguf=Gguf("glm4moe", keys=_keys, names={"post_attention_layernorm": "post_attention_norm"}),
)

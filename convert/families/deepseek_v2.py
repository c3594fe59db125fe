"""DeepSeek V2 and V2-Lite: latent attention, and experts behind the first layers, chosen by softmax scores.

The vendor's code multiplies scores by the square of YaRN's mscale_all_dim; transformers' class does so since its pull request
47435 (`core.mended_models`). Sources: `transformers/models/deepseek_v2/`; llama.cpp's deepseek2 (`program.latent_gguf`).
"""

from __future__ import annotations

from dataclasses import replace

from ..program.decoder import Decoder
from ..program.experts import Experts, Shared, behind_dense, bounded
from ..program.reading import Reader, UnsupportedArchitecture
from ..program.rope import Rope, read_rope
from . import deepseek_v3

_GREEDY, _IN_GROUPS = "greedy", "group_limited_greedy"


def _experts(read: Reader) -> Experts:
    deepseek_v3.require(read, scoring_func="softmax")
    method = read.get("topk_method")
    if method not in (_GREEDY, _IN_GROUPS):
        raise UnsupportedArchitecture(
            f"experts are chosen by {method!r}, which transformers' deepseek_v2 does not know"
        )
    if read.get("norm_topk_prob"):
        raise UnsupportedArchitecture(
            "norm_topk_prob is true, and transformers' deepseek_v2 never divides the chosen scores"
        )
    inner, grouped = read.size("moe_intermediate_size"), method == _IN_GROUPS
    return Experts(
        count=bounded(read.size("n_routed_experts")),
        used=read.size("num_experts_per_tok"),
        width=inner,
        normalized=False,
        factor=read.number("routed_scaling_factor"),
        groups=read.size("n_group") if grouped else 1,
        used_groups=read.size("topk_group") if grouped else 1,
        group_best=1,
        shared=Shared(inner * read.size("n_shared_experts"), "mlp.shared_experts"),
    )


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if decoder.mlp_bias:
        raise UnsupportedArchitecture("its MLPs have biases, of which no checkpoint with experts was seen")
    decoder = deepseek_v3.attending(read, decoder)
    return replace(decoder, experts=behind_dense(read, decoder.num_layers, _experts(read)))


def _rope(read: Reader, head_dim: int) -> Rope:
    return read_rope(read, read.size("qk_rope_head_dim"), interleaved=True)


FAMILY = replace(
    deepseek_v3.FAMILY,
    model_type="deepseek_v2",
    architecture="DeepseekV2ForCausalLM",
    defaults={key: value for key, value in deepseek_v3.DEFAULTS.items() if key != "rope_interleave"}
    | {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "mlp_bias": False,
        "moe_intermediate_size": 1407,
        "n_shared_experts": 2,
        "n_routed_experts": 64,
        "routed_scaling_factor": 1.0,
        "n_group": None,
        "topk_group": None,
        "topk_method": _GREEDY,
        "num_experts_per_tok": None,
        "first_k_dense_replace": 0,
        "norm_topk_prob": False,
    },
    details=_described,
    rope=_rope,
)

"""GLM-4.7-Flash: DeepSeek V3's layers, of which a list says which have experts.

Sources: `transformers/models/glm4_moe_lite/`; llama.cpp's deepseek2 (`program.latent_gguf`).
"""

from __future__ import annotations

from dataclasses import replace

from ..program.decoder import Decoder
from ..program.experts import in_layers
from ..program.reading import Reader, contradicting, wrong
from . import deepseek_v3

_SPARSE, _DENSE = "sparse", "dense"


def _sparse(read: Reader, layers: int) -> list[bool]:
    """Tell layer by layer which has experts: all but the first, where nothing is stated."""
    kinds = read.config.get("mlp_layer_types")
    if kinds is None:
        return [layer > 0 for layer in range(layers)]
    if not isinstance(kinds, list) or not set(map(str, kinds)) <= {_SPARSE, _DENSE}:
        raise wrong("mlp_layer_types", kinds, f"a list of {_DENSE!r} and {_SPARSE!r}")
    if len(kinds) != layers:
        raise contradicting(f"mlp_layer_types states kinds for {len(kinds)} layers, and there are {layers}")
    return [kind == _SPARSE for kind in kinds]


def _described(read: Reader, decoder: Decoder) -> Decoder:
    experts = in_layers(deepseek_v3.routed(read), _sparse(read, decoder.num_layers))
    return replace(deepseek_v3.attending(read, decoder), experts=experts)


FAMILY = replace(
    deepseek_v3.FAMILY,
    model_type="glm4_moe_lite",
    architecture="Glm4MoeLiteForCausalLM",
    defaults={key: value for key, value in deepseek_v3.DEFAULTS.items() if key != "first_k_dense_replace"}
    | {
        "num_key_value_heads": 20,
        "rms_norm_eps": 1e-05,
        "max_position_embeddings": 202752,
        "moe_intermediate_size": 1536,
        "n_routed_experts": 64,
        "routed_scaling_factor": 1.8,
        "q_lora_rank": 768,
        "v_head_dim": 256,
        "qk_nope_head_dim": 192,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 4,
    },
    details=_described,
    also_reads=deepseek_v3.FAMILY.also_reads | {"first_k_dense_replace", "mlp_layer_types"},
)

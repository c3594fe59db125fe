"""Tiny checkpoints of random weights, written by transformers' own classes, with the built-in model's tokenizer.

They test structure: names, shapes, shards, types, families. They say little about quality: on random weights INT4
agrees with the original on half of the first choices. The built-in model and SmolLM2 are for that.
"""

import copy
import shutil
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path
from edgeconv.builtin.legacy import add_legacy_keys

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
HEAD_DIM = 16
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
COMMON: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": ROPE,
    "bos_token_id": None,
}
YARN: dict[str, Any] = ROPE | {
    "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "mscale": 1.0, "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}  # fmt: skip
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "head_dim": HEAD_DIM,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": HEAD_DIM,
    "v_head_dim": 16,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
"""Latent attention with values narrower than keys, and experts."""
LATENT_YARN: dict[str, Any] = ROPE | {
    "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "mscale": 1.0, "mscale_all_dim": 1.0,
}  # fmt: skip
_ALTERNATE = ["sliding_attention", "full_attention"]
_THREE = ["sliding_attention", "sliding_attention", "full_attention"]
# What each family has that the others lack, at a size where it shows.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},  # biases on q, k and v come with the class
    "qwen3": {},  # so do norms of q and k
    "olmo2": {},  # norms behind attention and MLP, and of q and k over all heads
    "gemma3_text": {
        "num_hidden_layers": 3,
        "layer_types": _THREE,
        "sliding_window": 32,
        "query_pre_attn_scalar": HEAD_DIM,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "sliding_attention": ROPE,
            "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
        },
    },
    "phi3": {"rope_parameters": ROPE | {"partial_rotary_factor": 1.0}},
    "glm": {"attention_bias": False, "rope_parameters": ROPE | {"partial_rotary_factor": 1.0}},
}
_MAMBA = {
    "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_d_conv": 4,
    "mamba_chunk_size": 64, "mamba_conv_bias": True, "mamba_proj_bias": False,
}  # fmt: skip
# Families that not every format takes: whose tensors transformers renames or stacks, whose attention torch's fast one is not.
FURTHER: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.25, "tie_word_embeddings": True},
    "cohere2": {"layer_types": _ALTERNATE, "sliding_window": 32, "logit_scale": 0.25, "tie_word_embeddings": True},
    "gemma2": {
        "layer_types": _ALTERNATE,
        "sliding_window": 32,
        "query_pre_attn_scalar": HEAD_DIM,
        "attn_logit_softcapping": 1.0,
        "final_logit_softcapping": 8.0,
        "tie_word_embeddings": True,
    },
    "glm4": {"attention_bias": True, "rope_parameters": ROPE | {"partial_rotary_factor": 0.5}},
    "ernie4_5": {},
    "ernie4_5_moe": {
        "num_hidden_layers": 3,
        "moe_num_experts": 8,
        "moe_k": 2,
        "moe_num_shared_experts": 2,
        "moe_intermediate_size": 32,
    },
    "exaone4": {"layer_types": _ALTERNATE, "sliding_window": 32},
    "gemma": {"tie_word_embeddings": True},
    "gemma3n_text": {
        "num_hidden_layers": 6,
        "layer_types": _THREE * 2,
        "sliding_window": 32,
        "num_kv_shared_layers": 3,
        "laurel_rank": 8,
        "hidden_size_per_layer_input": 32,
        "vocab_size_per_layer_input": 4096,
        "activation_sparsity_pattern": [0.95, 0.0, 0.5, 0.0, 0.95, 0.0],
        "final_logit_softcapping": 3.0,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "sliding_attention": ROPE,
            "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
        },
    },
    "gemma4_text": {
        "num_hidden_layers": 4,
        "layer_types": _ALTERNATE * 2,
        "sliding_window": 32,
        "global_head_dim": 2 * HEAD_DIM,
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "hidden_size_per_layer_input": 32,
        "vocab_size_per_layer_input": 4096,
        "final_logit_softcapping": 3.0,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "sliding_attention": ROPE,
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
        },
    },
    "gpt_oss": {
        "layer_types": _ALTERNATE,
        "sliding_window": 32,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 64,
    },
    "glm4_moe": {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "first_k_dense_replace": 1,
        "use_qk_norm": True,
        "routed_scaling_factor": 1.5,
        "attention_bias": True,
        "rope_parameters": ROPE | {"partial_rotary_factor": 0.5},
    },
    "glm4_moe_lite": LATENT | {"num_hidden_layers": 3, "q_lora_rank": 32, "routed_scaling_factor": 1.8},
    "deepseek_v2": LATENT
    | {
        "num_hidden_layers": 3,
        "q_lora_rank": None,
        "n_shared_experts": 2,
        "first_k_dense_replace": 1,
        "rope_parameters": LATENT_YARN | {"mscale": 0.707, "mscale_all_dim": 0.707},
    },
    "deepseek_v3": LATENT
    | {
        "num_hidden_layers": 3,
        "q_lora_rank": 32,
        "n_group": 4,
        "topk_group": 2,
        "first_k_dense_replace": 1,
        "rope_parameters": LATENT_YARN,
    },
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 64},
    "granitemoehybrid": {
        **_MAMBA,
        "layer_types": ["mamba", "attention"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 64,
        "shared_intermediate_size": 64,
        "position_embedding_type": None,
    },
    "falcon_h1": {
        **_MAMBA,
        "mamba_d_ssm": 128,
        "mamba_norm_before_gate": False,
        "attention_in_multiplier": 0.9,
        "attention_out_multiplier": 0.8,
        "embedding_multiplier": 5.0,
        "key_multiplier": 0.6,
        "lm_head_multiplier": 0.3,
        "mlp_multipliers": [0.9, 0.6],
        "ssm_in_multiplier": 1.25,
        "ssm_multipliers": [0.8, 0.7, 0.6, 0.9, 0.5],
        "ssm_out_multiplier": 0.7,
    },
    "hunyuan_v1_dense": {"attention_bias": True},
    "lfm2": {
        "num_hidden_layers": 3,
        "layer_types": ["conv", "full_attention", "conv"],
        "conv_L_cache": 3,
        "block_multiple_of": 32,
        "norm_eps": 1e-5,
        "tie_word_embeddings": True,
    },
    "lfm2_moe": {
        "num_hidden_layers": 3,
        "layer_types": ["conv", "full_attention", "conv"],
        "num_dense_layers": 1,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_eps": 1e-5,
        "tie_word_embeddings": True,
    },
    "mamba2": {
        "num_heads": 8,
        "head_dim": 16,
        "state_size": 16,
        "expand": 2,
        "n_groups": 1,
        "conv_kernel": 4,
        "chunk_size": 64,
        "use_bias": False,
        "layer_norm_epsilon": 1e-5,
    },
    "ministral3": {"rope_parameters": YARN},
    "phi": {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}, "layer_norm_eps": 1e-5},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 64, "sliding_window": None},
    "nemotron": {},
    "olmo3": {"layer_types": _ALTERNATE, "sliding_window": 32},
    "phimoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 64, "attention_bias": True},
    "qwen2_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 64,
    },
    "qwen3_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    },
    "qwen3_next": {
        "num_hidden_layers": 3,
        "layer_types": ["linear_attention", "linear_attention", "full_attention"],
        "head_dim": 32,
        "rope_parameters": ROPE | {"partial_rotary_factor": 0.25},
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 64,
    },
    "qwen3_5_text": {
        "num_hidden_layers": 4,
        "layer_types": ["linear_attention", "linear_attention", "full_attention", "linear_attention"],
        "head_dim": 32,
        "rope_parameters": ROPE
        | {
            "partial_rotary_factor": 0.25,
            "mrope_interleaved": True,
            "mrope_section": [2, 1, 1],
        },
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
    "smollm3": {"no_rope_layers": [1, 0]},
    "stablelm": {"rope_parameters": ROPE | {"partial_rotary_factor": 0.25}, "use_qkv_bias": True},
    "starcoder2": {},
}
LIKE_E2B: dict[str, Any] = {
    "num_hidden_layers": 25,
    "layer_types": [*["sliding_attention"] * 4, "full_attention"] * 5,
    "num_kv_shared_layers": 5,
    "laurel_rank": 64,
    "hidden_size_per_layer_input": 256,
    "activation_sparsity_pattern": [0.95] * 10 + [0.0] * 15,
    "final_logit_softcapping": 30.0,
    "intermediate_size": 1024,
}
"""Fields of a gemma3n_text with the numbers that llama.cpp has built in."""
LONG_ROPE: dict[str, Any] = {
    "original_max_position_embeddings": 256,
    "max_position_embeddings": 2048,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 1.0,
        "original_max_position_embeddings": 256,
        "short_factor": [1.0 + 0.1 * i for i in range(HEAD_DIM // 2)],
        "long_factor": [2.0 + 3.0 * i for i in range(HEAD_DIM // 2)],
    },
}
"""Fields of a phi3 whose rotary embeddings turn by other frequencies in texts of more than 256 tokens."""

STREAMED: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-yarn": {"rope_parameters": ROPE | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
    "mistral": {"sliding_window": None},
    "ministral3": {},
    "mistral-windows": {"sliding_window": 17},
    "qwen2": {},
    "qwen2-windows": {"use_sliding_window": True, "sliding_window": 17, "max_window_layers": 1},
    "qwen3": {},
    "olmo2": {},
    "olmo3": {"num_hidden_layers": 3, "sliding_window": 17, "layer_types": _THREE},
    "olmo3-yarn": {"num_hidden_layers": 3, "sliding_window": 17, "layer_types": _THREE, "rope_parameters": LATENT_YARN},
    "gemma": {"rms_norm_eps": 1e-6},
    "gemma2": {"num_hidden_layers": 3, "sliding_window": 17, "query_pre_attn_scalar": 24, "layer_types": _THREE},
    "gemma3_text": {"hidden_size": 96, "sliding_window": 17, "query_pre_attn_scalar": 24},
    "gemma3n_text": {"hidden_size": 96, "sliding_window": 17},
    "gemma3n_text-streams": {
        "altup_num_inputs": 3, "altup_active_idx": 1, "num_kv_shared_layers": 0, "activation_sparsity_pattern": [0.0] * 6,
        "intermediate_size": [64, 96, 128, 64, 96, 128],
    },
    "gemma4_text": {
        "hidden_size": 96, "sliding_window": 17, "num_hidden_layers": 6, "layer_types": _THREE * 2, "num_kv_shared_layers": 3,
    },
    "gemma4_text-dense": {
        "sliding_window": 17, "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0, "attention_k_eq_v": True,
        "num_global_key_value_heads": 1,
    },
    "phi-keys": {"num_key_value_heads": 4, "hidden_act": "silu", "rope_parameters": ROPE | {"partial_rotary_factor": 0.25}},
    "phi3": {},
    "phi3-windows": {"sliding_window": 17},
    "phi3-longrope": LONG_ROPE | {
        "original_max_position_embeddings": 64,
        "rope_parameters": LONG_ROPE["rope_parameters"] | {"original_max_position_embeddings": 64},
    },
    "glm": {},
    "glm4": {},
    "smollm3": {"num_hidden_layers": 3, "no_rope_layers": [1, 0, 1]},
    "granite": {"attention_multiplier": 0.15},
    "cohere-biases": {"attention_bias": True, "tie_word_embeddings": False, "logit_scale": 0.5},
    "cohere2": {"num_hidden_layers": 3, "sliding_window": 17, "layer_types": _THREE},
    "cohere": {"logit_scale": 0.5},
    "phi": {},
    "exaone4": {"num_hidden_layers": 3, "sliding_window": 17, "layer_types": _THREE},
    "exaone4-whole": {"sliding_window": None, "layer_types": ["full_attention"] * 2},
    "ernie4_5": {"use_bias": True},
    "ernie4_5_moe": {},
    "ernie4_5_moe-some": {"num_hidden_layers": 5, "moe_layer_interval": 2, "moe_layer_end_index": 3, "moe_num_shared_experts": 0},
    "lfm2": {},
    "lfm2_moe": {},
    "lfm2-biases": {"conv_bias": True, "conv_L_cache": 4, "block_auto_adjust_ff_dim": False},
    "qwen3_5_text": {},
    "qwen3_next": {},
    "qwen3_5_text-keys": {"linear_num_key_heads": 4, "linear_value_head_dim": 24, "linear_conv_kernel_dim": 3,
                          "attention_bias": True},
    "hunyuan_v1_dense": {"rope_parameters": ROPE | {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0}},
    "stablelm": {},
    "stablelm-parallel": {"use_parallel_residual": True},
    "granitemoe": {"attention_multiplier": 0.15, "logits_scaling": 4.0, "residual_multiplier": 0.5},
    "granitemoehybrid": {"attention_multiplier": 0.15, "logits_scaling": 4.0, "residual_multiplier": 0.5},
    "granitemoehybrid-dense": {"num_hidden_layers": 3, "layer_types": ["mamba", "attention", "mamba"], "num_local_experts": 0,
                               "mamba_n_groups": 2, "mamba_proj_bias": True, "time_step_limit": [0.5, 2.0]},
    "granitemoehybrid-attention": {"layer_types": ["attention"] * 2, "num_local_experts": 0, "position_embedding_type": "rope"},
    "mamba2": {},
    "mamba2-groups": {"n_groups": 2, "use_bias": True, "tie_word_embeddings": True},
    "falcon_h1": {},
    "falcon_h1-normed": {"mamba_rms_norm": True, "mamba_norm_before_gate": True, "mamba_n_groups": 2, "projectors_bias": True,
                         "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "falcon_h1-behind": {"mamba_rms_norm": True, "mamba_n_groups": 2, "mamba_d_ssm": None},
    "glm4_moe": {"num_hidden_layers": 3},
    "glm4_moe-groups": {"n_group": 4, "topk_group": 2, "norm_topk_prob": False, "use_qk_norm": False},
    "glm4_moe_lite": {},
    "glm4_moe_lite-halves": {"rope_interleave": False, "attention_bias": True, "mlp_layer_types": ["sparse", "dense", "sparse"]},
    "deepseek_v2": {},
    "deepseek_v2-groups": {
        "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "routed_scaling_factor": 16.0, "q_lora_rank": 32,
        "rope_parameters": LATENT_YARN | {"mscale": 0.5},
    },
    "deepseek_v3": {},
    "gpt_oss": {"num_hidden_layers": 3, "sliding_window": 17, "layer_types": _THREE},
    "mixtral": {},
    "qwen2_moe": {},
    "qwen2_moe-normalized": {"norm_topk_prob": True, "mlp_only_layers": [1]},
    "qwen3_moe": {},
    "qwen3_moe-some": {"num_hidden_layers": 3, "decoder_sparse_step": 2, "norm_topk_prob": False},
}  # fmt: skip
"""Checkpoints of every family whose graphs edgeconv builds itself, and of the parts that config.json turns on: what each has
beside its row of `FAMILIES` or `FURTHER`."""


def make(
    model_type: str,
    folder: Path,
    *,
    dtype: str = "bfloat16",
    max_shard_size: str = "5GB",
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """Write a checkpoint of `model_type` (one of `FAMILIES` or `FURTHER`) to `folder` and return it.

    Args:
        model_type: as in config.json.
        folder: made if absent.
        dtype: "bfloat16", "float16" or "float32".
        max_shard_size: as for transformers, e.g. "200KB" for several shards and an index.
        seed: the same seed gives the same bits.
        **overrides: fields of the configuration, e.g. `tie_word_embeddings=True`, `hidden_size=96`.

    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(model_path() / name, folder / name)
    builtin = AutoConfig.from_pretrained(model_path())
    ids = {"eos_token_id": builtin.eos_token_id, "pad_token_id": builtin.pad_token_id}
    # a copy: transformers writes into the dictionaries that it is given
    fields = copy.deepcopy(
        COMMON | {"vocab_size": builtin.vocab_size} | ids | (FURTHER | FAMILIES)[model_type] | overrides
    )
    with torch.random.fork_rng():  # what some classes are born with is random (Mamba 2's biases of steps)
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **fields))
    _randomize(model, seed)
    model.to(getattr(torch, dtype))
    model.config.dtype = dtype
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    add_legacy_keys(folder)
    return folder


def _randomize(model: Any, seed: int) -> None:
    """Fill all weights with bell-shaped values whose width differs from output channel to output channel.

    One width for all, as a fresh model has, would give every channel the same scale and hide a quantizer that mixes
    channels up. Norms and biases leave the 1 and 0 they are born with, so that one that is forgotten shows as well.
    """
    import torch

    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        names = set(model.state_dict())
        buffers = [(name, one) for name, one in model.named_buffers() if name in names and one.is_floating_point()]
        for name, parameter in [*model.named_parameters(), *buffers]:
            noise = torch.randn(parameter.shape, generator=random)
            if name.endswith("linear_attn.A_log"):
                parameter.copy_(-3 + noise)  # as fresh ones are, a state forgets all but the last position
            elif parameter.ndim < 2:
                parameter.add_(0.1 * noise)
            else:
                widths = torch.exp(0.5 * torch.randn(parameter.shape[0], 1, generator=random))
                widths = widths.reshape(-1, *[1] * (parameter.ndim - 1))
                parameter.copy_(noise * widths / parameter.shape[-1] ** 0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.add_(0.1 * torch.randn(buffer.shape, generator=random))

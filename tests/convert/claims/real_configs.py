"""config.json of well-known models as they are published, with the fields that no graph has a use for; sizes are made small."""

from typing import Any

from edgeconv.convert import families

SIZES: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
LLAMA3 = {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
          "rope_type": "llama3"}  # fmt: skip
TRAINED = {"attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True, "torch_dtype": "bfloat16",
           "transformers_version": "4.45.0"}  # fmt: skip
GEMMA = {"hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "head_dim": 16, "attention_bias": False,
         "query_pre_attn_scalar": 16, "cache_implementation": "hybrid", "bos_token_id": 2,
         "eos_token_id": 1, "pad_token_id": 0}  # fmt: skip
LONG = {"long_factor": [2.0] * 8, "short_factor": [1.0] * 8, "type": "longrope"}

STREAMED: dict[str, dict[str, Any]] = {
    "Llama-3.2-1B-Instruct": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009], "head_dim": 16, "hidden_act": "silu", "max_position_embeddings": 131072,
        "mlp_bias": False, "model_type": "llama", "pretraining_tp": 1, "rms_norm_eps": 1e-5, "rope_scaling": LLAMA3,
        "rope_theta": 500000.0, "tie_word_embeddings": True,
    },
    "SmolLM2-135M-Instruct": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "initializer_range": 0.041666666666666664, "is_llama_config": True,
        "max_position_embeddings": 8192, "mlp_bias": False,
        "model_type": "llama", "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-5, "rope_interleaved": False,
        "rope_scaling": None, "rope_theta": 100000, "tie_word_embeddings": True,
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    },
    "DeepSeek-R1-Distill-Llama-8B, by Unsloth": {
        "_name_or_path": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "attention_bias": False, "bos_token_id": 128000, "eos_token_id": 128001, "head_dim": 16, "hidden_act": "silu",
        "max_position_embeddings": 131072, "mlp_bias": False, "pretraining_tp": 1, "rms_norm_eps": 1e-5,
        "rope_scaling": {**LLAMA3, "factor": 8.0}, "rope_theta": 500000.0, "tie_word_embeddings": False, "unsloth_fixed": True,
        "unsloth_version": "2025.1.5",
    },
    "Mistral-7B-Instruct-v0.3": {
        "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "max_position_embeddings": 32768, "model_type": "mistral", "rms_norm_eps": 1e-5, "rope_theta": 1000000.0,
        "sliding_window": None, "tie_word_embeddings": False,
    },
    "Qwen2.5-Coder-0.5B-Instruct": {
        "architectures": ["Qwen2ForCausalLM"], "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu",
        "max_position_embeddings": 32768, "max_window_layers": 24, "model_type": "qwen2", "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "sliding_window": 32768, "tie_word_embeddings": True, "use_mrope": False, "use_sliding_window": False,
    },
    "Qwen3-0.6B": {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "bos_token_id": 151643, "eos_token_id": 151645,
        "head_dim": 16, "hidden_act": "silu", "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
        "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "phi-4": {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "attention_bias": False, "bos_token_id": 100257,
        "embd_pdrop": 0.0, "eos_token_id": 100265, "hidden_act": "silu", "max_position_embeddings": 16384,
        "original_max_position_embeddings": 16384, "pad_token_id": 100349, "resid_pdrop": 0.0, "rms_norm_eps": 1e-5,
        "rope_scaling": None, "rope_theta": 250000, "sliding_window": None, "tie_word_embeddings": False,
        "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
    },
    "glm-edge-1.5b-chat": {
        "architectures": ["GlmForCausalLM"], "attention_bias": False, "eos_token_id": [59246, 59253, 59255], "head_dim": 16,
        "hidden_act": "silu", "max_position_embeddings": 8192, "model_type": "glm", "pad_token_id": 59246,
        "partial_rotary_factor": 1.0, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
    },
}  # fmt: skip
"""Models that the stream engine takes, and that can be written in all three formats."""
OTHERS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "Mistral-7B-Instruct-v0.1": (("openvino", "onnx", "gguf"), {
        "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "max_position_embeddings": 32768, "model_type": "mistral", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "sliding_window": 4096, "tie_word_embeddings": False,
    }),
    "Phi-4-mini-instruct": (("openvino", "onnx", "gguf"), {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "attention_bias": False, "embd_pdrop": 0.0,
        "full_attn_mod": 1, "hidden_act": "silu", "interpolate_factor": 1, "lm_head_bias": False, "mlp_bias": False,
        "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "partial_rotary_factor": 1.0,
        "resid_pdrop": 0.0, "rms_norm_eps": 1e-5, "rope_scaling": LONG, "rope_theta": 10000.0, "sliding_window": 262144,
        "tie_word_embeddings": True,
    }),
    "gemma-3-1b-it": (("openvino", "onnx", "gguf"), {
        **GEMMA, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "attn_logit_softcapping": None,
        "final_logit_softcapping": None, "max_position_embeddings": 32768, "rope_local_base_freq": 10000, "rope_scaling": None,
        "rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6,
    }),
    "gemma-3-270m": (("openvino", "onnx", "gguf"), {
        **GEMMA, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "_sliding_window_pattern": 6,
        "layer_types": ["sliding_attention", "full_attention"], "use_bidirectional_attention": False,
        "max_position_embeddings": 32768, "rope_local_base_freq": 10000.0, "rope_theta": 1000000.0, "sliding_window": 512,
    }),
    "GLM-4-9B-0414": (("openvino", "onnx", "gguf"), {
        "architectures": ["Glm4ForCausalLM"], "model_type": "glm4", "attention_bias": False, "head_dim": 16, "hidden_act": "silu",
        "max_position_embeddings": 32768, "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }),
    "granite-3.3-2b-instruct": (("openvino", "onnx", "gguf"), {
        "architectures": ["GraniteForCausalLM"], "model_type": "granite", "attention_bias": False,
        "attention_multiplier": 0.015625,
        "embedding_multiplier": 12.0, "hidden_act": "silu", "logits_scaling": 8.0, "max_position_embeddings": 131072,
        "mlp_bias": False, "residual_multiplier": 0.22, "rms_norm_eps": 1e-5, "rope_scaling": None, "rope_theta": 1e7,
        "tie_word_embeddings": True,
    }),
    "SmolLM3-3B": (("openvino", "onnx"), {
        "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "attention_bias": False, "hidden_act": "silu",
        "layer_types": ["full_attention"] * 2, "max_position_embeddings": 65536, "max_window_layers": 28, "mlp_bias": False,
        "no_rope_layer_interval": 4, "no_rope_layers": [1, 0], "pretraining_tp": 2, "rms_norm_eps": 1e-6, "rope_scaling": None,
        "rope_theta": 5000000.0, "sliding_window": None, "use_sliding_window": False,
    }),
    "OLMo-2-1B": (("openvino", "onnx", "gguf"), {
        "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "attention_bias": False, "hidden_act": "silu",
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 500000,
        "tie_word_embeddings": False,
    }),
    "phi-2": (("openvino", "gguf", "onnx"), {
        "architectures": ["PhiForCausalLM"], "model_type": "phi", "embd_pdrop": 0.0, "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 2048, "partial_rotary_factor": 0.4, "qk_layernorm": False, "resid_pdrop": 0.1,
        "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": False,
    }),
    "stablelm-2-1_6b": (("openvino", "onnx", "gguf"), {
        "architectures": ["StableLmForCausalLM"], "model_type": "stablelm", "hidden_act": "silu", "hidden_dropout": 0.0,
        "layer_norm_eps": 1e-5, "max_position_embeddings": 4096, "partial_rotary_factor": 0.25, "qk_layernorm": False,
        "rope_theta": 10000, "tie_word_embeddings": False, "use_parallel_residual": False, "use_qkv_bias": True,
    }),
    "c4ai-command-r7b": (("openvino", "onnx", "gguf"), {
        "architectures": ["Cohere2ForCausalLM"], "model_type": "cohere2", "attention_bias": False, "hidden_act": "silu",
        "head_dim": 16, "layer_norm_eps": 1e-5, "layer_switch": 4, "logit_scale": 0.25, "max_position_embeddings": 132096,
        "order_of_interleaved_layers": "local_attn_first", "position_embedding_type": "rope_gptj", "rope_scaling": None,
        "rope_theta": 50000, "rotary_pct": 1.0, "sliding_window": 4096, "sliding_window_pattern": 4,
        "use_embedding_sharing": True,
        "use_gated_activation": True, "use_parallel_block": True, "use_parallel_embedding": True,
    }),
    "Minitron-4B": (("onnx",), {
        "architectures": ["NemotronForCausalLM"], "model_type": "nemotron", "hidden_act": "relu2", "head_dim": 16,
        "max_position_embeddings": 4096, "mlp_bias": False, "norm_eps": 1e-5, "partial_rotary_factor": 0.5, "rope_percent": 0.5,
        "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": False, "attention_bias": False,
    }),
    "Apertus-8B": (("onnx",), {
        "architectures": ["ApertusForCausalLM"], "model_type": "apertus", "attention_bias": False, "hidden_act": "xielu",
        "max_position_embeddings": 65536, "mlp_bias": False, "post_norm": False, "qk_norm": True, "rms_norm_eps": 1e-5,
        "rope_scaling": LLAMA3, "rope_theta": 12000000, "tie_word_embeddings": False,
    }),
    "Hunyuan-0.5B-Instruct": (("openvino", "onnx", "gguf"), {
        "architectures": ["HunYuanDenseV1ForCausalLM"], "model_type": "hunyuan_v1_dense", "attention_bias": False,
        "cla_share_factor": 2,
        "head_dim": 16, "hidden_act": "silu", "max_position_embeddings": 262144, "mlp_bias": False, "norm_type": "rms",
        "num_experts": 1, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "use_cla": False, "use_qk_norm": True,
        "rope_scaling": {"alpha": 1000.0, "beta_fast": 32, "beta_slow": 1, "factor": 1.0, "mscale": 1.0, "mscale_all_dim": 0.0,
                         "type": "dynamic"},
        "sep_token_id": 4, "tie_word_embeddings": True, "use_rotary_pos_emb": True, "add_classification_head": False,
        "attention_head_dim": 16, "class_num": 0, "dense_list": [64, 0], "org_vocab_size": 512, "pad_id": 2, "pool_type": "last",
        "im_start_id": 4,
    }),
    "Qwen3-30B-A3B": (("openvino", "gguf", "onnx"), {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "attention_bias": False, "decoder_sparse_step": 1,
        "head_dim": 16, "hidden_act": "silu", "max_position_embeddings": 40960, "max_window_layers": 48, "mlp_only_layers": [],
        "moe_intermediate_size": 32, "norm_topk_prob": True, "num_experts": 8, "num_experts_per_tok": 2,
        "output_router_logits": False, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "router_aux_loss_coef": 0.001,
        "sliding_window": None, "tie_word_embeddings": False, "use_sliding_window": False,
    }),
    "Qwen2-VL-2B-Instruct": (("openvino", "onnx", "gguf"), {
        "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "hidden_act": "silu", "image_token_id": 7,
        "max_position_embeddings": 32768, "max_window_layers": 28, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "sliding_window": 32768, "use_sliding_window": False,
        "tie_word_embeddings": True, "video_token_id": 8, "vision_end_token_id": 9, "vision_start_token_id": 10,
        "vision_token_id": 11,
        "vision_config": {"depth": 2, "embed_dim": 32, "mlp_ratio": 4, "num_heads": 2, "in_chans": 3, "hidden_size": 64,
                          "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2},
    }),
}  # fmt: skip
"""Models that go through the trace engines or that one format lacks: formats that take it, and its config."""


def names_of(config: dict[str, Any]) -> list[str]:
    """Return as many names of tensors as tell that a vision-language model has its vision part."""
    part = families.vision_part(config["model_type"])
    if part is None or part.model_type != config["model_type"] or "vision_config" not in config:
        return []
    return [part.prefix if isinstance(part.prefix, str) else part.prefix[0]]


def whole(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with the small sizes and what every training leaves behind."""
    return {**SIZES, **TRAINED, **config}

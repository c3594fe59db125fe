"""Fields of config.json by what they do: those that never touch the mathematics, and those that change it when not neutral.

What a family reads it claims itself (`families.fields`, `native.fields`). Of the rest, a field in `HARMLESS` is passed over, one
in `CHANGING` is refused unless its value is neutral, and one that stands in neither is named in the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _words(text: str) -> list[str]:
    return text.split()


_NAMES = _words("""
_name_or_path name_or_path architectures auto_map auto_class model_type base_model_type custom_pipelines transformers_version
transformers.js_config torch_dtype dtype _commit_hash commit_hash tokenizer_class processor_class image_processor_type
task_specific_params finetuning_task model_name model_max_length max_sequence_length seq_length n_ctx n_positions
unsloth_fixed unsloth_version _attn_implementation attn_implementation _attn_implementation_autoset _flash_attn_2_enabled
_experts_implementation use_flash_attn use_flash_attention use_flash_attention_2 flash_attn use_memory_efficient_attention
use_unpad_sequence use_cache_quantization use_cache_kernel softmax_in_fp32 attention_softmax_in_fp32 language languages license
revision tags onnx is_llama_config layer_type_validation ep_size pretraining_tp tensor_parallel_size num_attention_heads_tp
""")
_TRAINING = _words("""
attention_dropout attention_dropout_prob attention_probs_dropout_prob hidden_dropout hidden_dropout_prob attn_dropout attn_pdrop
resid_pdrop residual_dropout embd_pdrop embedding_dropout ffn_dropout activation_dropout dropout dropout_rate classifier_dropout
classifier_dropout_prob summary_first_dropout summary_activation summary_proj_to_labels summary_type summary_use_proj
initializer_range initializer_factor initializer_cutoff_factor init_std init_method rescale_prenorm_residual
router_aux_loss_coef router_z_loss_coef aux_loss_alpha seq_aux output_router_logits router_jitter_noise input_jitter_noise
gradient_checkpointing use_cache problem_type id2label label2id num_labels neftune_noise_alpha loss_type label_smoothing
use_bfloat16 fp16 bf16 fp32 torchscript tf_legacy_loss save_model_to_fp16 keys_to_ignore_at_inference prefix
""")
_SCANS = _words("""
mamba_chunk_size chunk_size time_step_min time_step_max time_step_floor time_step_scale time_step_init_scheme use_mambapy
use_associative_scan residual_in_fp32
""")
"""How scans are begun with, cut for a GPU, and added up."""
_GENERATION = _words("""
bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id unk_token_id mask_token_id decoder_start_token_id
forced_bos_token_id forced_eos_token_id max_length min_length max_new_tokens do_sample temperature top_k top_p min_p typical_p
repetition_penalty length_penalty num_beams num_beam_groups diversity_penalty early_stopping no_repeat_ngram_size
encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores return_dict return_dict_in_generate
output_attentions output_hidden_states suppress_tokens begin_suppress_tokens exponential_decay_length_penalty
remove_invalid_values cache_implementation chunk_size_feed_forward is_decoder generation_config
""")
_TOLD_BY_TENSORS = _words("""
attention_bias attention_out_bias attention_in_bias mlp_bias lm_head_bias bias use_bias qkv_bias use_qkv_bias add_qkv_bias o_bias
no_bias num_nextn_predict_layers num_mtp_layers mtp_num_hidden_layers mtp_use_dedicated_embeddings max_window_layers
max_position_embeddings original_max_position_embeddings head_dim _sliding_window_pattern
""")
"""What these promise shows in the checkpoint's tensors, each of which must have a place and its shape; or no graph computes
with it."""
HARMLESS = frozenset((*_NAMES, *_TRAINING, *_SCANS, *_GENERATION, *_TOLD_BY_TENSORS))


def is_harmless(field: str) -> bool:
    """Tell whether a field never touches the mathematics: one of `HARMLESS`, or the id of a token."""
    return field in HARMLESS or field.endswith(("_token_id", "_token_ids", "_token_index"))


def _neutral(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value is None or any(value == known for known in values)


def _all_ones(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(item == 1 for item in value))


def _all_full(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(item in ("full_attention", "attention") for item in value))


_OFF = _neutral(False, 0)
_ONE = _neutral(1)
_FEW = _neutral(0, 1)
_EMPTY = _neutral({}, [], False, 0)
_UNSET = _neutral()


@dataclass(frozen=True)
class Change:
    """What a field does unless `is_neutral(value)`; the sentence ends "it " + `what`."""

    what: str
    is_neutral: Callable[[Any], bool] = _OFF


_CAPS = Change("caps scores or logits")
_SCALES = Change("scales what flows through the model", _ONE)
_EXPERTS = Change("makes the model a mixture of experts", _FEW)
_WINDOW = Change("keeps positions out of a layer's sight")
_NORMS = Change("adds normalizations")
_RANK = Change("makes keys and values out of a narrow projection")
CHANGING: dict[str, Change] = {
    "attention_chunk_size": Change("cuts attention into chunks"),
    "clip_qkv": Change("clips queries, keys and values"),
    "attn_logit_softcapping": _CAPS,
    "attn_logit_softcap": _CAPS,
    "final_logit_softcapping": _CAPS,
    "final_logit_softcap": _CAPS,
    "logit_softcapping": _CAPS,
    "router_logit_softcapping": _CAPS,
    "logit_scale": _SCALES,
    "logits_scaling": _SCALES,
    "output_multiplier_scale": _SCALES,
    "embedding_multiplier": _SCALES,
    "embedding_multiplier_scale": _SCALES,
    "embedding_scale": _SCALES,
    "residual_multiplier": _SCALES,
    "residual_scale": _SCALES,
    "attention_multiplier": Change("scales the scores of attention", _UNSET),
    "attention_scale": Change("scales the scores of attention", _UNSET),
    "query_pre_attn_scalar": Change("scales the scores of attention", _UNSET),
    "scale_emb": _SCALES,
    "scale_depth": Change("scales what each layer adds", _UNSET),
    "dim_model_base": Change("scales the logits", _UNSET),
    "key_multiplier": _SCALES,
    "lm_head_multiplier": _SCALES,
    "mup_embedding_multiplier": _SCALES,
    "mup_attn_multiplier": _SCALES,
    "mup_width_multiplier": _SCALES,
    "mup_use_scaling": Change("scales what flows through the model"),
    "normalize_embedding": Change("normalizes the embeddings"),
    "partial_rotary_factor": Change("rotates a part of each head", _ONE),
    "rotary_pct": Change("rotates a part of each head", _ONE),
    "rope_pct": Change("rotates a part of each head", _ONE),
    "rope_percent": Change("rotates a part of each head", _ONE),
    "rotary_dim": Change("rotates a part of each head", _UNSET),
    "rope_interleaved": Change("rotates neighboring pairs"),
    "rope_ratio": Change("stretches positions", _ONE),
    "rope_scaling_factor": Change("stretches positions", _ONE),
    "use_dynamic_ntk": Change("stretches positions with the length of a text"),
    "use_logn_attn": Change("scales scores with the length of a text"),
    "attn_temperature_tuning": Change("scales queries with their position"),
    "use_mrope": Change("gives a token positions in three dimensions"),
    "interpolate_factor": Change("stretches positions", _ONE),
    "full_attn_mod": Change("gives its layers different kinds of attention", _ONE),
    "add_classification_head": Change("adds a head that gives scores"),
    "alibi": Change("biases scores by distance"),
    "use_alibi": Change("biases scores by distance"),
    "max_alibi_bias": Change("biases scores by distance"),
    "alibi_bias_max": Change("biases scores by distance", _UNSET),
    "position_embedding_type": Change("says where a token stands in another way", _neutral("rope", "rotary")),
    "no_rope_layers": Change("leaves layers without positions", _all_ones),
    "nope_layer_interval": Change("leaves layers without positions"),
    "no_rope_layer_interval": Change("leaves layers without positions"),
    "parallel_attn": Change("puts attention and MLP side by side"),
    "use_parallel_residual": Change("puts attention and MLP side by side"),
    "parallel_residual": Change("puts attention and MLP side by side"),
    "apply_residual_connection_post_layernorm": Change("moves the residual connections"),
    "use_post_norm": _NORMS,
    "post_norm": _NORMS,
    "sandwich_norm": _NORMS,
    "qk_layernorm": _NORMS,
    "qk_norm": _NORMS,
    "use_qk_norm": _NORMS,
    "use_qk_layernorm": _NORMS,
    "num_experts": _EXPERTS,
    "num_local_experts": _EXPERTS,
    "n_routed_experts": _EXPERTS,
    "moe_num_experts": _EXPERTS,
    "kv_lora_rank": _RANK,
    "q_lora_rank": _RANK,
    "use_mla": _RANK,
    "use_cla": Change("shares keys and values between layers"),
    "num_kv_shared_layers": Change("shares keys and values between layers"),
    "attention_sink_size": Change("keeps the first positions in sight"),
    "attention_sink": Change("keeps the first positions in sight"),
    "sliding_window": _WINDOW,
    "use_sliding_window": _WINDOW,
    "attention_window_size": _WINDOW,
    "layer_types": Change("gives its layers different kinds of attention", _all_full),
    "pooling": Change("makes one vector of a text, as embedding models do", _EMPTY),
    "pooling_type": Change("makes one vector of a text, as embedding models do", _EMPTY),
    "pooler_config": Change("makes one vector of a text, as embedding models do", _EMPTY),
    "peft_config": Change("puts an adapter over the weights", _EMPTY),
    "adapters": Change("puts an adapter over the weights", _EMPTY),
    "speech_lora": Change("puts an adapter over the weights", _EMPTY),
    "vision_lora": Change("puts an adapter over the weights", _EMPTY),
    "pruned_heads": Change("takes heads out", _EMPTY),
    "add_cross_attention": Change("adds attention to another text"),
}
"""Fields that change what a model computes: field → what it does, unless its value is neutral (None always is)."""

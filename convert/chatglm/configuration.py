"""config.json of a ChatGLM in the terms of transformers' GlmConfig.

The block is the same: rotary embedding of neighboring pairs on the first half of each head, few key heads, SwiGLU with the gate
first, RMSNorm. Source: `configuration_chatglm.py` and `modeling_chatglm.py` of THUDM's repositories (read, never run).

`rope_ratio` means two things. ChatGLM3 and GLM-4 multiply the base of the rotary frequencies with it; ChatGLM2 (its 32K version)
divides positions by it.
"""

from __future__ import annotations

from typing import Any

from ...core.errors import CheckpointError
from ..families.glm import FAMILY
from .version import Version

ROPE_BASE = 10000.0
_SIZES = {
    "vocab_size": "padded_vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "ffn_hidden_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "multi_query_group_num",
    "head_dim": "kv_channels",
    "max_position_embeddings": "seq_length",
}
"""GlmConfig's name of each size → ChatGLM's."""
_FIXED = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "add_bias_linear": False,
    "apply_residual_connection_post_layernorm": False,
    "multi_query_attention": True,
    "interleaved_qkv": False,
    "original_rope": True,
    "pre_seq_len": None,
    "quantization_bit": 0,
    "vision_config": None,
}
"""What GlmForCausalLM has built in. A value that config.json leaves out is taken to be this."""
_FIRST = ("inner_hidden_size", "position_encoding_2d", "max_sequence_length")


def check(config: dict[str, Any]) -> None:
    """Raise CheckpointError for a model that GlmForCausalLM cannot be."""
    if any(key in config for key in _FIRST):
        raise CheckpointError(
            "This is the first ChatGLM-6B, whose block (two-dimensional positions, LayerNorm) is another.",
            "ChatGLM2-6B, ChatGLM3-6B and GLM-4-9B can be converted.",
        )
    for key, value in _FIXED.items():
        stated = config.get(key)
        if stated is not None and stated != value:
            raise CheckpointError(
                f"config.json states {key} = {stated!r}; of ChatGLM's variants only {key} = {value!r} can be converted.",
                "Take an original checkpoint of ChatGLM2, ChatGLM3 or GLM-4, unquantized and without adapters.",
            )


def native(config: dict[str, Any], version: Version, ends: list[int], pad: int) -> dict[str, Any]:
    """Return config.json of the same model for GlmForCausalLM.

    Args:
        config: of the checkpoint, checked.
        version: of the model.
        ends: ids that end a generation.
        pad: the id that fills up.

    Raises:
        CheckpointError: a value that is not a number, or of the wrong type.
    """
    sizes = {name: _size(config, key) for name, key in _SIZES.items()}
    return {
        "architectures": [FAMILY.architecture],
        "model_type": FAMILY.model_type,
        **sizes,
        "attention_bias": bool(config.get("add_qkv_bias", False)),
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": ends[0] if len(ends) == 1 else ends,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "pad_token_id": pad,
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": _number(config, "layernorm_epsilon", 1e-5),
        **_rope(_number(config, "rope_ratio", 1.0), version),
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        "torch_dtype": config.get("torch_dtype", "float16"),
        "use_cache": True,
    }


def _rope(ratio: float, version: Version) -> dict[str, Any]:
    if version is Version.CHATGLM2 and ratio != 1:
        return {"rope_theta": ROPE_BASE, "rope_scaling": {"rope_type": "linear", "factor": ratio}}
    return {"rope_theta": ROPE_BASE * ratio}


def _size(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if type(value) is not int or not 0 < value < 2**31:
        raise CheckpointError(
            f"config.json: {key} is {value!r}, not a positive whole number.", "Download the file again."
        )
    return value


def _number(config: dict[str, Any], key: str, default: float) -> float:
    value = config.get(key)
    if value is None:
        return default
    if type(value) not in (int, float) or not 0 < value < 1e9:
        raise CheckpointError(f"config.json: {key} is {value!r}, not a positive number.", "Download the file again.")
    return float(value)

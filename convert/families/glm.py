"""GLM: GLM-Edge chat (1.5B, 4B), and the ChatGLM and GLM-4 chat models in transformers' form (`model_type: glm`).

Block: neighbouring pairs are rotated, on `partial_rotary_factor` of each head; gate and up are one projection, gate first.
Sources: `transformers/models/glm/modeling_glm.py`; of the int4 schemes GLM-Edge's `inference/ov_convert/convert_chat.py`, and
optimum-intel's list of defaults (`optimum/intel/openvino/configuration.py`, THUDM/chatglm2-6b).
"""

from __future__ import annotations

from typing import Any

from .decoder import Decoder, Reader

MODEL_TYPES = ("glm",)
DEFAULTS = {
    "hidden_act": "silu",
    "head_dim": 128,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1.5625e-07,
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.5,
    "attention_bias": True,
    "tie_word_embeddings": False,
    "max_position_embeddings": 131072,
}
GLM_EDGE_INT4 = {"sym": True, "group_size": 128, "ratio": 0.8}
"""What the makers of GLM-Edge compress their chat models with."""
CHATGLM_INT4 = {"sym": True, "group_size": 128, "ratio": 0.72}
"""What optimum-intel compresses ChatGLM2-6B with."""
CHATGLM_VOCABULARY = 65024
"""Rows of the embedding of ChatGLM2-6B and ChatGLM3-6B, and of nothing else."""


def decoder(config: dict[str, Any]) -> Decoder:
    """Read config.json."""
    read = Reader(config, DEFAULTS)
    head_dim = read.size("head_dim")
    return Decoder(
        family="glm",
        vocab_size=read.size("vocab_size"),
        hidden_size=read.size("hidden_size"),
        intermediate_size=read.size("intermediate_size"),
        num_layers=read.layers(),
        num_heads=read.size("num_attention_heads"),
        num_kv_heads=read.size("num_key_value_heads"),
        head_dim=head_dim,
        rms_norm_eps=read.number("rms_norm_eps"),
        rope=read.rope(head_dim, interleaved=True, partial=True),
        activation=read.activation(),
        qkv_bias=bool(read.get("attention_bias")),
        fused_gate_up=True,
        tied=bool(read.get("tie_word_embeddings")),
        assumed=tuple(read.assumed),
    )


def int4_default(config: dict[str, Any]) -> dict[str, Any] | None:
    """GLM-Edge's own int4 scheme, optimum-intel's for ChatGLM; GLM-4, known by its biases, takes the general defaults."""
    if not config.get("attention_bias", True):
        return GLM_EDGE_INT4
    return CHATGLM_INT4 if config.get("vocab_size") == CHATGLM_VOCABULARY else None

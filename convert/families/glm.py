"""GLM: GLM-Edge chat (1.5B, 4B), and the ChatGLM and GLM-4 chat models in transformers' form (`model_type: glm`).

Block: neighboring pairs are rotated, on `partial_rotary_factor` of each head; gate and up are one projection, gate first.
Checkpoints of GLM-Edge-V say `model_type: glm` too: their tensors tell (`glm_edge_v`).

Sources: `transformers/models/glm/modeling_glm.py`; of the int4 schemes GLM-Edge's `inference/ov_convert/convert_chat.py`, and
optimum-intel's list of defaults (`optimum/intel/openvino/configuration.py`, THUDM/chatglm2-6b); `src/models/chatglm.cpp` and
`conversion/chatglm.py` of llama.cpp. The converter there takes context_length from seq_length or else hidden_size, the epsilon
from layernorm_epsilon or else 1e-5, the base from rope_ratio alone; we take what GlmConfig reads: max_position_embeddings,
rms_norm_eps, rope_theta.
"""

from __future__ import annotations

from typing import Any

from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors
from ..program.reading import Config
from ..program.spec import Family, Scheme
from .glm_edge_v_model.facts import MODEL_TYPE, VISION
from .llama import biased

GLM_EDGE_INT4 = {"sym": True, "group_size": 128, "ratio": 0.8}
"""What the vendor of GLM-Edge compress their chat models with."""
CHATGLM_INT4 = {"sym": True, "group_size": 128, "ratio": 0.72}
"""What optimum-intel compresses ChatGLM2-6B with."""
CHATGLM_VOCABULARY = 65024
"""Rows of the embedding of ChatGLM2-6B and ChatGLM3-6B, and of nothing else."""


def int4_default(config: Config) -> Scheme | None:
    """GLM-Edge's own int4 scheme, optimum-intel's for ChatGLM; GLM-4, known by its biases, takes the general defaults."""
    if not config.get("attention_bias", True):
        return GLM_EDGE_INT4
    return CHATGLM_INT4 if config.get("vocab_size") == CHATGLM_VOCABULARY else None


def to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    """Return what a GGUF's tensors tell of its config."""
    return {"attention_bias": biased(file, "attn_q", "attn_qkv")}


FAMILY = Family(
    "glm",
    "GlmForCausalLM",
    {
        "head_dim": 128,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1.5625e-07,
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
        "max_position_embeddings": 131072,
        "hidden_act": "silu",
        "attention_bias": True,
        "tie_word_embeddings": False,
    },
    vision=MODEL_TYPE,
    interleaved_rope=True,
    partial_rotary=True,
    fused_gate_up=True,
    output_bias=False,
    may_slide=False,
    int4_default=int4_default,
    gguf=Gguf(
        "chatglm",
        square_heads=True,
        skipped_tensors=(f"{VISION}*",),
        to_config=to_config,
        width_as_context=True,
    ),
)

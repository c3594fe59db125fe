"""Towers that several families have, as transformers and llama.cpp call their modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .mmproj_spec import Bare, Put, frames, thirds

SIGLIP_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu_pytorch_tanh",
}
"""What `SiglipVisionConfig` takes for a field that is absent."""
CLIP_LAYER: Mapping[str, Put] = {
    "layer_norm1": "ln1", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out", "layer_norm2": "ln2", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}  # fmt: skip
"""A layer of CLIP and SigLIP."""
QWEN_LAYER: Mapping[str, Put] = {"norm1": "ln1", "norm2": "ln2", "attn.proj": "attn_out"}
"""What a layer of the Qwen-VL towers has in every generation, besides its projections of q, k and v and its MLP."""
THREE = thirds("attn_q", "attn_k", "attn_v")


def clip_embeddings(prefix: str) -> dict[str, Put]:
    """Return the embeddings of CLIP or SigLIP; of a class token and of a norm behind them only CLIP has."""
    return {
        f"{prefix}embeddings.class_embedding": Bare("v.class_embd"),
        f"{prefix}embeddings.patch_embedding": "v.patch_embd",
        f"{prefix}embeddings.position_embedding": "v.position_embd",
        f"{prefix}pre_layrnorm": "v.pre_ln",
    }


def qwen_embeddings(prefix: str) -> dict[str, Put]:
    """Return the patches' embedding of the Qwen-VL towers."""
    return {f"{prefix}patch_embed.proj": frames}

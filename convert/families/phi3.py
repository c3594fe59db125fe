"""Phi-3 with the default rotary embedding (its long-context kind goes through the trace engine).

Block: q, k, v are one projection, and so are gate and up (gate first). Source: `transformers/models/phi3/modeling_phi3.py`.
"""

from __future__ import annotations

from typing import Any

from .decoder import Decoder, Reader, whole

MODEL_TYPES = ("phi3",)
DEFAULTS = {
    "hidden_act": "silu",
    "num_key_value_heads": None,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
    "tie_word_embeddings": False,
    "sliding_window": None,
    "max_position_embeddings": 4096,
}

ALSO_READ = frozenset(["head_dim", "layer_types"])


def decoder(config: dict[str, Any]) -> Decoder:
    """Read config.json. Raises NotExpressible for sliding windows and long-context rope."""
    read = Reader(config, DEFAULTS)
    read.refuse_sliding_window()
    heads = read.size("num_attention_heads")
    hidden = read.size("hidden_size")
    head_dim = whole(config.get("head_dim") or hidden // heads, "head_dim")
    return Decoder(
        family="phi3",
        vocab_size=read.size("vocab_size"),
        hidden_size=hidden,
        intermediate_size=read.size("intermediate_size"),
        num_layers=read.layers(),
        num_heads=heads,
        num_kv_heads=read.size_or("num_key_value_heads", heads),
        head_dim=head_dim,
        rms_norm_eps=read.number("rms_norm_eps"),
        rope=read.rope(head_dim, partial=True),
        activation=read.activation(),
        fused_qkv=True,
        fused_gate_up=True,
        tied=bool(read.get("tie_word_embeddings")),
        assumed=tuple(read.assumed),
    )

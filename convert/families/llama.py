"""Llama and the families that share its block: Mistral (full attention), Qwen2 (biases on q, k, v), Qwen3 (norms on q and k).

Source: `transformers/models/{llama,mistral,qwen2,qwen3}/`.
"""

from __future__ import annotations

from typing import Any

from .decoder import Decoder, Reader

_COMMON = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "head_dim": None,
    "num_key_value_heads": None,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {**_COMMON, "attention_bias": False, "mlp_bias": False, "max_position_embeddings": 2048},
    "mistral": {**_COMMON, "num_key_value_heads": 8, "sliding_window": 4096, "max_position_embeddings": 131072},
    "qwen2": {**_COMMON, "num_key_value_heads": 32, "use_sliding_window": False, "max_position_embeddings": 32768},
    "qwen3": {
        **_COMMON,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "attention_bias": False,
        "use_sliding_window": False,
        "max_position_embeddings": 32768,
    },
}
MODEL_TYPES = tuple(DEFAULTS)
ALSO_READ = frozenset(["sliding_window", "layer_types"])


def decoder(config: dict[str, Any]) -> Decoder:
    """Read config.json. Raises NotExpressible for sliding windows and for rope kinds that the block lacks."""
    kind = config["model_type"]
    read = Reader(config, DEFAULTS[kind])
    read.refuse_sliding_window()
    heads = read.size("num_attention_heads")
    hidden = read.size("hidden_size")
    head_dim = read.size_or("head_dim", hidden // heads)
    bias = bool(read.get("attention_bias")) if "attention_bias" in DEFAULTS[kind] else False
    return Decoder(
        family=kind,
        vocab_size=read.size("vocab_size"),
        hidden_size=hidden,
        intermediate_size=read.size("intermediate_size"),
        num_layers=read.layers(),
        num_heads=heads,
        num_kv_heads=read.size_or("num_key_value_heads", heads),
        head_dim=head_dim,
        rms_norm_eps=read.number("rms_norm_eps"),
        rope=read.rope(head_dim),
        activation=read.activation(),
        qkv_bias=bias or kind == "qwen2",
        output_bias=bias,
        mlp_bias=bool(read.get("mlp_bias")) if kind == "llama" else False,
        qk_norm=kind == "qwen3",
        tied=bool(read.get("tie_word_embeddings")),
        assumed=tuple(read.assumed),
    )

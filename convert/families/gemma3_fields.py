"""What Gemma 3's text models state, and what is taken where they do not: windows, and two kinds of rotary embeddings."""

from __future__ import annotations

from typing import Any

from ..program.reading import Reader, UnsupportedArchitecture, positive, wrong
from ..program.rope import kind_of

PATTERN = 6
"""Every so many layers one is global, if nothing else is stated."""
WINDOW = 4096
LOCAL_BASE, GLOBAL_BASE = 10_000.0, 1_000_000.0
DEFAULTS: dict[str, Any] = {
    "rope_theta": GLOBAL_BASE,
    "rope_local_base_freq": LOCAL_BASE,
    "head_dim": 256,
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "hidden_act": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "attention_bias": False,
    "sliding_window": WINDOW,
    "max_position_embeddings": 131072,
}


def ropes(read: Reader) -> tuple[float, dict[str, Any]]:
    """Return the base of local layers, and the parameters of global ones (`Gemma3TextConfig.convert_rope_params_to_dict`)."""
    config = read.config
    parameters = _table(config.get("rope_parameters"), "rope_parameters")
    local = _table(parameters.get("sliding_attention"), "rope_parameters.sliding_attention")
    whole = _table(parameters.get("full_attention"), "rope_parameters.full_attention")
    whole = {**whole, **_table(config.get("rope_scaling"), "rope_scaling")}
    if "rope_theta" not in whole:
        whole["rope_theta"] = read.get("rope_theta")
    if str(kind_of(local)) != "default" or "partial_rotary_factor" in local | whole:
        raise UnsupportedArchitecture("its local layers have scaled rotary embeddings")
    base = local["rope_theta"] if "rope_theta" in local else read.get("rope_local_base_freq")
    return positive(base, "rope_local_base_freq"), whole


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise wrong(name, value, "a table")
    return value or {}

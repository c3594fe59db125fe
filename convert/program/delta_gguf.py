"""How llama.cpp knows layers of the gated delta rule beside those that attend (Qwen 3.5).

Heads of values that share a key stand as far apart as there are keys (of Qwen3-Next side by side), and rates of decay are
negative numbers, not logarithms. Sources: `src/models/qwen35.cpp`, `qwen3next.cpp` and `conversion/qwen.py` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..gguf_held import Held
from ..gguf_values import Kind, Value, array, u32
from .decoder import Decoder
from .gguf_spec import GgufKeys, GgufTensors
from .mixers import GatedDelta
from .reading import Config, UnsupportedArchitecture

LINEAR, FULL = "linear_attention", "full_attention"
"""What config.json calls the kinds of layers."""
INTERVAL = 4
"""Every so many layers one attends, if nothing else is stated."""


def _rule(decoder: Decoder) -> GatedDelta | None:
    return next((mixer for mixer in decoder.mixers if isinstance(mixer, GatedDelta)), None)


def held(decoder: Decoder) -> dict[str, Held]:
    """Return how a GGUF holds the delta rule's tensors."""
    rule = _rule(decoder)
    if rule is None:
        return {}
    heads, values = (_apart(rule, width) for width in (1, rule.width))
    mixed = None if values is None else np.concatenate([np.arange(2 * rule.key_size), 2 * rule.key_size + values])
    return {
        "linear_attn.in_proj_qkv.weight": Held(rows=mixed),
        "linear_attn.conv1d.weight": Held(rows=mixed),
        "linear_attn.in_proj_z.weight": Held(rows=values),
        "linear_attn.in_proj_a.weight": Held(rows=heads),
        "linear_attn.in_proj_b.weight": Held(rows=heads),
        "linear_attn.A_log": Held(columns=heads, decays=True),
        "linear_attn.dt_bias": Held(columns=heads),
        "linear_attn.norm.weight": Held(whole=True),
        "linear_attn.out_proj.weight": Held(columns=values),
    }


def held_by_key(decoder: Decoder) -> dict[str, Held]:
    """Return the same where the projections are in order of the keys."""
    return {"linear_attn.A_log": Held(decays=True), "linear_attn.norm.weight": Held(whole=True)}


def split_by_key(decoder: Decoder) -> Mapping[str, Mapping[str, Held]]:
    """Return how the file holds the projection to queries, keys, values and gates, key by key in the checkpoint."""
    rule = _rule(decoder)
    if rule is None:
        return {}
    wide = rule.heads // rule.keys * rule.width
    rows = np.arange(rule.channels + rule.size).reshape(rule.keys, -1)
    query, key, value, gate = np.split(rows, np.cumsum([rule.key_width, rule.key_width, wide]), axis=1)
    mixed = np.concatenate([part.reshape(-1) for part in (query, key, value)])
    return {
        "linear_attn.in_proj_qkvz.weight": {
            "attn_qkv.weight": Held(rows=mixed, part=True),
            "attn_gate.weight": Held(rows=gate.reshape(-1), part=True),
        }
    }


def _apart(rule: GatedDelta, width: int) -> npt.NDArray[np.int64] | None:
    """Return the order in which the first heads of all keys come first; None: each key has one head."""
    each = rule.heads // rule.keys
    rows = np.arange(rule.heads * width).reshape(rule.keys, each, width)
    return None if each == 1 else rows.swapaxes(0, 1).reshape(-1)


def keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the delta rule's sizes; refuse what llama.cpp's graph has otherwise."""
    rule, kinds = _rule(decoder), [mixer is None for mixer in decoder.mixers]
    if rule is None or rule.key_width != rule.width or decoder.qkv_bias:
        raise UnsupportedArchitecture(
            "it has no delta rule, keys of another width than values, or biases in attention, unlike llama.cpp's graph"
        )
    every = kinds.index(True) + 1 if True in kinds else decoder.num_layers + 1
    if kinds != [(layer + 1) % every == 0 for layer in range(decoder.num_layers)]:
        raise UnsupportedArchitecture("its layers that attend are not every so many-th, as in llama.cpp")
    return {
        "ssm.conv_kernel": u32(rule.taps),
        "ssm.state_size": u32(rule.key_width),
        "ssm.group_count": u32(rule.keys),
        "ssm.time_step_rank": u32(rule.heads),
        "ssm.inner_size": u32(rule.size),
        "full_attention_interval": u32(every),
    }


def sectioned(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return `keys`, and the sections of the rotary embedding."""
    sections = (config.get("rope_scaling") or config.get("rope_parameters") or {}).get("mrope_section", SECTIONS)
    return keys(config, decoder) | {"rope.dimension_sections": array(Kind.I32, [*sections, 0])}


def to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    """Return the delta rule's sizes and the kinds of layers."""
    heads, every = keys.size("ssm.time_step_rank"), keys.size("full_attention_interval", INTERVAL)
    return {
        "linear_conv_kernel_dim": keys.size("ssm.conv_kernel"),
        "linear_key_head_dim": keys.size("ssm.state_size"),
        "linear_value_head_dim": keys.size("ssm.inner_size") // heads,
        "linear_num_key_heads": keys.size("ssm.group_count"),
        "linear_num_value_heads": heads,
        "attention_bias": False,
        "layer_types": [FULL if (layer + 1) % every == 0 else LINEAR for layer in range(keys.size("block_count"))],
    }


SECTIONS = (11, 11, 10)
"""`mrope_section` where no config states it."""
NAMES = {
    "post_attention_layernorm": "post_attention_norm",
    "linear_attn.in_proj_qkv": "attn_qkv",
    "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.in_proj_b": "ssm_beta",
    "linear_attn.in_proj_ba": "ssm_ba",
    "linear_attn.A_log": "ssm_a",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.conv1d": "ssm_conv1d",
    "linear_attn.norm": "ssm_norm",
    "linear_attn.out_proj": "ssm_out",
}
READS = frozenset(
    [
        "ssm.conv_kernel", "ssm.state_size", "ssm.group_count", "ssm.time_step_rank", "ssm.inner_size",
        "full_attention_interval", "rope.dimension_sections",
    ]
)  # fmt: skip

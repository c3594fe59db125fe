"""Tensors of a checkpoint that no converted model uses: one list for every engine, every format and the validator.

buffers             what old checkpoints store and transformers computes from the config
prediction heads    layers that guess further tokens ahead (multi-token prediction, MTP), which the model itself runs without:
                    Qwen3.5 and Qwen3-Next call them mtp.*, ERNIE 4.5 model.mtp_*, GLM-4.5 and DeepSeek-V3 number them behind the
                    last layer
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping
from typing import Any

BUFFERS = (
    "*rotary_emb.inv_freq", "*.attn.bias", "*.masked_bias", "*.attention.bias", "*.embed_positions.weights",
    "*.embeddings.position_ids", "embeddings.position_ids",
)  # fmt: skip
_COUNTS = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers")
"""Fields of config.json that say how many layers predict further tokens."""
_HEAD = re.compile(r"(?:model\.|language_model\.)*mtp\.")
_KNOWN = re.compile(r"mtp\.|model\.mtp_(?:block|emb_norm|hidden_norm|linear_proj)\.")
"""Names of which no other tensor has the like."""
_OWN = re.compile(r"model\.layers\.(\d+)\.self_attn\.(?:k_proj|v_proj|k_norm|v_norm)\.(?:weight|bias)")
_LAYER = re.compile(r"(?:\w+\.)*?layers\.(\d+)\.")


def is_buffer(name: str) -> bool:
    """True for a tensor that holds no weights."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in BUFFERS)


def is_prediction_head(name: str, config: Mapping[str, Any]) -> bool:
    """True for a tensor of a head that predicts further tokens.

    A name alone says so if it begins with "mtp." or is one of ERNIE's; any other has to be among what config.json counts.
    """
    if _KNOWN.match(name):
        return True
    text = config.get("text_config")
    stated = {**config, **(text if isinstance(text, dict) else {})}
    count = max((value for field in _COUNTS if type(value := stated.get(field)) is int), default=0)
    if count < 1:
        return False
    layer, depth = _LAYER.match(name), stated.get("num_hidden_layers")
    behind = layer is not None and isinstance(depth, int) and depth <= int(layer[1]) < depth + count
    return behind or _HEAD.match(name) is not None


def is_unused(name: str, config: Mapping[str, Any]) -> bool:
    """True for a tensor that a conversion leaves out; a plan names those that hold weights."""
    return is_buffer(name) or is_prediction_head(name, config) or is_passed_over(name, config)


def is_passed_over(name: str, config: Mapping[str, Any]) -> bool:
    """True for what would make keys and values in a layer that reads those of another (Gemma 4's files hold them, too)."""
    shared, depth, found = config.get("num_kv_shared_layers"), config.get("num_hidden_layers"), _OWN.fullmatch(name)
    if not found or type(shared) is not int or type(depth) is not int:
        return False
    return 0 < depth - shared <= int(found[1])


def notes(config: Mapping[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Return a sentence for the plan if weights are left out."""
    heads = sorted(name for name in names if is_prediction_head(name, config))
    if not heads:
        return ()
    return (
        f"{len(heads)} tensors of a head for multi-token prediction ({heads[0]} …) are left out: the model answers without it.",
    )

"""Whatever stands in config.json: it is described, refused with a sentence, or left to the other engine."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import families
from edgeconv.convert.families import registry
from edgeconv.convert.gguf.describe import describe, supported
from edgeconv.convert.program.reading import UnsupportedArchitecture
from edgeconv.core.errors import EdgeconvError

from ..models import tiny

ODD = (
    None, "x", "", -1, 0, 1, 3, 1.5, math.nan, math.inf, [], [1], ["x"], {}, {"a": 1}, {"a": {}}, True, 10**400, 2**31 - 1,
)  # fmt: skip
PLAIN = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "vocab_size": 4096, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
    "hidden_act": "silu", "hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "mlp_bias": False,
    "sliding_window": None, "use_sliding_window": False, "sliding_window_pattern": 6, "layer_types": None, "rope_theta": 1e4,
    "rope_local_base_freq": 1e4, "partial_rotary_factor": 0.5, "original_max_position_embeddings": None,
    "final_logit_softcapping": None, "attn_logit_softcapping": None, "query_pre_attn_scalar": 16, "vision_config": None,
}  # fmt: skip
ROPES: dict[str, dict[str, Any]] = {
    "default": {"rope_theta": 1e4},
    "linear": {"factor": 2.0},
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 256},
    "yarn": {"factor": 2.0},
    "longrope": {"long_factor": [1.0] * 8, "short_factor": [1.0] * 8},
}


OWN: dict[str, dict[str, Any]] = {
    "lfm2_moe": {**tiny.FURTHER["lfm2_moe"], "num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]},
    "gemma3n_text": {**tiny.FURTHER["gemma3n_text"], "num_hidden_layers": 6},
    "mamba2": tiny.FURTHER["mamba2"],
    "gemma4_text": {**tiny.FURTHER["gemma4_text"], "num_hidden_layers": 4},
    **{
        kind: {**tiny.FURTHER[kind], "num_hidden_layers": 2, "partial_rotary_factor": None}
        for kind in ("deepseek_v2", "deepseek_v3", "glm4_moe_lite")
    },
}
"""What families want to be stated besides."""


def ropes(model_type: str, table: dict[str, Any]) -> dict[str, Any]:
    """The rotary embeddings in the form of config.json: of Gemma 3n and 4 a table for each kind of layer."""
    if model_type not in ("gemma3n_text", "gemma4_text"):
        return table
    return {"sliding_attention": table, "full_attention": tiny.FURTHER[model_type]["rope_parameters"]["full_attention"]}


def odd_configs(model_type: str) -> list[dict[str, Any]]:
    made = []
    for kind, parameters in ROPES.items():
        table = {"rope_type": kind, "rope_theta": 1e4, **parameters}
        own = OWN.get(model_type, {})
        plain = {**PLAIN, **own, "model_type": model_type, "rope_parameters": ropes(model_type, table)}
        for value in ODD:
            made += [{**plain, key: value} for key in (*PLAIN, *own, "rope_parameters")]
            made += [
                {**plain, "rope_parameters": ropes(model_type, {**table, key: value})}
                for key in ("rope_type", *parameters)
            ]
    return made


TEXT = [one.model_type for one in registry.every() if one.model_type in supported() and one.language is None]
"""Odd values of those with pictures: test_vision_configs.py."""


@pytest.mark.parametrize("model_type", TEXT)
def test_one_odd_value(model_type: str) -> None:
    described = 0
    for config in odd_configs(model_type):
        for describing in (families.decoder, lambda config: describe(config).decoder):
            try:
                decoder = describing(json.loads(json.dumps(config)))
                assert np.isfinite(decoder.rope.inverse_frequencies()).all()
                assert all(size > 0 for shape in decoder.tensors().values() for size in shape)
            except UnsupportedArchitecture:
                continue
            except EdgeconvError as error:
                assert error.hint, error.message
                continue
            described += 1
    assert described > 100

"""What the family files read from config.json, against transformers' own classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import decoder, find, streamed
from edgeconv.convert.families.reading import UnsupportedArchitecture
from edgeconv.core.errors import CheckpointError

STREAMED = streamed()
SMALL = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4}


def native(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(**config)


@pytest.mark.parametrize("kind", STREAMED)
def test_defaults_are_those_of_transformers(kind: str) -> None:
    config = native({"model_type": kind})
    for key, value in find(kind).defaults.items():
        if key in ("rope_theta", "partial_rotary_factor"):
            assert config.rope_parameters[key] == value
        elif key in ("head_dim", "num_key_value_heads") and value is None:
            expected = config.num_attention_heads
            expected = config.hidden_size // expected if key == "head_dim" else expected
            assert getattr(config, key, expected) in (expected, None)
        else:
            assert getattr(config, key) == value, key


ROPES: list[dict[str, Any]] = [
    {},
    {"rope_theta": 1e6},
    {"rope_theta": 1e6, "partial_rotary_factor": 0.25},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 1.0}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 1.0}, "partial_rotary_factor": 1.0},
    {"rope_theta": 2e4, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    {"rope_theta": 2e4, "rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                         "original_max_position_embeddings": 512}},
]  # fmt: skip


@pytest.mark.parametrize("kind", STREAMED)
@pytest.mark.parametrize("rope", ROPES, ids=repr)
def test_rotary_frequencies_are_those_of_transformers(kind: str, rope: dict[str, Any]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    sizes = {**SMALL, "num_key_value_heads": 2, "head_dim": 16}
    config = {"model_type": kind, **sizes, "sliding_window": None, "pad_token_id": None, **rope}
    if kind == "phi3" and ("rope_scaling" in rope):
        pytest.skip("Phi-3's only scaled kind is longrope")
    if kind in ("glm",) and "llama3" in repr(rope):
        rope = {**rope}
    described = decoder({**config})
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(native(_copy(config)))
    rotary = type(shell.model.rotary_emb)(config=native(_copy(config)))
    ours = described.rope.inverse_frequencies()
    assert rotary.inv_freq.shape == ours.shape
    np.testing.assert_allclose(ours, rotary.inv_freq.numpy(), rtol=2e-7)
    assert rotary.attention_scaling == 1.0


def _copy(config: dict[str, Any]) -> dict[str, Any]:
    return {k: dict(v) if isinstance(v, dict) else v for k, v in config.items()}


@pytest.mark.parametrize("kind", STREAMED)
def test_tensor_names_and_shapes_are_those_of_transformers(kind: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    config = {"model_type": kind, **SMALL, "num_key_value_heads": 2, "sliding_window": None, "pad_token_id": None}
    if kind in ("glm", "qwen3"):
        config["head_dim"] = 16
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(native(config))
    assert decoder(config).tensors() == {name: tuple(p.shape) for name, p in model.named_parameters()}


def test_absent_values_that_change_the_mathematics_are_named() -> None:
    assumed = decoder({"model_type": "glm", **SMALL}).assumed
    assert any(s.startswith("partial_rotary_factor = 0.5 ") for s in assumed)
    assert any(s.startswith("rms_norm_eps = 1.5625e-07 ") for s in assumed)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "mistral", **SMALL, "sliding_window": 1024}, "sliding window of 1024"),
        ({"model_type": "mistral", **SMALL}, "sliding window of 4096"),
        ({"model_type": "qwen2", **SMALL, "use_sliding_window": True}, "sliding window"),
        ({"model_type": "qwen3", **SMALL, "layer_types": ["sliding_attention"]}, "sliding window"),
        ({"model_type": "llama", **SMALL, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        ({"model_type": "phi3", **SMALL, "rope_scaling": {"type": "longrope"}}, "longrope"),
        ({"model_type": "llama", **SMALL, "hidden_act": "relu"}, "relu"),
        ({"model_type": "gemma3_text", **SMALL}, "gemma3_text"),
    ],
    ids=lambda v: v if isinstance(v, str) else v["model_type"],
)
def test_what_the_block_cannot_express_is_left_to_the_trace_engine(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedArchitecture, match=reason):
        decoder(config)


@pytest.mark.parametrize("value", ["64", 0, -1, 2**40, True, 1.5])
def test_sizes_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(CheckpointError, match="hidden_size"):
        decoder({"model_type": "llama", **SMALL, "hidden_size": value})

"""What the family files read from config.json, against transformers' own classes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import decoder, find, streamed
from edgeconv.convert.program.decoder import Decoder
from edgeconv.convert.program.reading import UnsupportedArchitecture
from edgeconv.core.errors import CheckpointError

STREAMED = streamed()
SMALL = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4}


def native(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(**config)


@pytest.mark.parametrize("kind", STREAMED)
def test_defaults_are_those_of_transformers(kind: str) -> None:
    config = native({"model_type": kind})
    theirs = {ours: name for name, ours in find(kind).aliases.items()}
    for ours, value in find(kind).defaults.items():
        key = theirs.get(ours, ours)
        if kind in ("gemma3_text", "gemma3n_text") and "rope" in key:
            layers = "sliding_attention" if "local" in key else "full_attention"
            assert config.rope_parameters[layers]["rope_theta"] == value
        elif key in ("rope_theta", "partial_rotary_factor"):
            assert config.rope_parameters[key] == value
        elif key in ("head_dim", "num_key_value_heads") and value is None:
            expected = config.num_attention_heads
            expected = config.hidden_size // expected if key == "head_dim" else expected
            assert getattr(config, key, expected) in (expected, None)
        elif isinstance(getattr(config, key), list):  # of each layer
            assert set(getattr(config, key)) == {value}
        else:
            assert getattr(config, key) == value, key


LATENT = {"num_key_value_heads": 4, "qk_rope_head_dim": 16, "num_experts_per_tok": 2}
OPEN: dict[str, dict[str, Any]] = {
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "glm4_moe_lite": LATENT,
    "cohere2": {"layer_types": ["sliding_attention"], "sliding_window": 64},
    "exaone4": {"layer_types": ["full_attention"], "sliding_window": None},
    "gemma2": {"layer_types": ["full_attention"]},
    "gemma3_text": {"layer_types": ["full_attention"]},
    "gemma3n_text": {"layer_types": ["full_attention"], "num_kv_shared_layers": 0},
    "gemma4_text": {"layer_types": ["full_attention"]},
    "granitemoehybrid": {
        "num_hidden_layers": 2,
        "layer_types": ["mamba", "attention"],
        "position_embedding_type": "rope",
    },
    "lfm2_moe": {"layer_types": ["conv"]},
    "mamba2": {"num_heads": 8, "n_groups": 2},
    "olmo3": {"layer_types": ["full_attention"]},
}
"""Families that have windows, or no rope, where nothing is stated: layers of stated kinds; and whose heads have each a key."""
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

    if not find(kind).attends:
        pytest.skip("none of its layers attends")
    sizes = {**SMALL, "num_key_value_heads": 2, "head_dim": 16}
    config = {"model_type": kind, **sizes, **OPEN.get(kind, {"sliding_window": None}), "pad_token_id": None, **rope}
    if kind == "phi3" and ("rope_scaling" in rope):
        pytest.skip("Phi-3's only scaled kind is longrope")
    if kind in ("ministral3", "gpt_oss") and "rope_parameters" not in rope and "rope_scaling" not in rope:
        pytest.skip("it takes a table of its own where config.json has none: test_streamed_logits")
    if OPEN.get(kind) is LATENT and "partial_rotary_factor" in rope:
        pytest.skip("transformers cannot run it with a part of the rotated part")
    if kind in ("gemma3_text", "gemma3n_text", "gemma4_text"):
        pytest.skip("its two kinds of layers state theirs apart: test_the_ropes_of_gemma_3 and the like")
    described = decoder({**config})
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(native(_copy(config)))
    body = shell.model
    rotary = type(body.rotary_emb if hasattr(body, "rotary_emb") else body.pos_emb)(config=native(_copy(config)))
    ours = described.rope.inverse_frequencies()
    assert rotary.inv_freq.shape == ours.shape
    np.testing.assert_allclose(ours, rotary.inv_freq.numpy(), rtol=2e-7)
    assert rotary.attention_scaling == 1.0


def _copy(config: dict[str, Any]) -> dict[str, Any]:
    return {k: dict(v) if isinstance(v, dict) else v for k, v in config.items()}


def loaded(described: Decoder) -> dict[str, tuple[int, ...]]:
    """Name and shape of the tensors as transformers has them: experts in the stacks of its own."""
    found = described.tensors()
    for layer, experts in enumerate(described.experts):
        prefix = f"model.layers.{layer}."
        for name in [
            name for name in found if experts and name.startswith(f"{prefix}{experts.stored.module}.experts.")
        ]:
            owner, form = experts.stored.loaded(name.removeprefix(prefix))
            shape = found.pop(name)
            count, rows, columns = (shape[0], shape[2], 1) if name.endswith("bias") else shape
            turns = 2 if form.axis is not None or form.strided else 1
            whole = (count, columns, rows * turns) if form.turned else (count, rows * turns, columns)
            found[prefix + owner] = whole[:2] if name.endswith("bias") else whole
        if experts and experts.correction:
            found.pop(prefix + experts.correction)  # which transformers has as a buffer
    for name in [name for name in found if _part(described, name)]:
        owner, form = _part(described, name)
        rows, columns = found.pop(name)
        found[name.removesuffix(_inside(name)) + owner] = (rows * form.parts, columns)
    return found


def _inside(name: str) -> str:
    """A tensor's name behind its layer's prefix."""
    return re.sub(r"model\.layers\.\d+\.", "", name)


def _part(described: Decoder, name: str) -> Any:
    return find(described.family).parts.get(_inside(name))


@pytest.mark.parametrize("kind", STREAMED)
def test_tensor_names_and_shapes_are_those_of_transformers(kind: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    config = {"model_type": kind, **SMALL, "num_key_value_heads": 2, "pad_token_id": None, "head_dim": 16}
    config |= OPEN.get(kind, {"sliding_window": None})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(native(config))
    assert loaded(decoder(config)) == {_seen(kind, name): shape for name, shape in _stored(model).items()}


def _seen(kind: str, name: str) -> str:
    """A tensor's name as checkpoints are seen here."""
    for old, new in find(kind).renamed.items():
        name = name.replace(old, new)
    return name


def _stored(model: Any) -> dict[str, tuple[int, ...]]:
    """Name and shape of all that a checkpoint of a model holds; what is tied once."""
    buffers = {name: part for name, part in model.named_buffers() if name in model.state_dict()}
    return {name: tuple(part.shape) for name, part in [*model.named_parameters(), *buffers.items()]}


SHARING: list[dict[str, Any]] = [
    {"num_kv_shared_layers": 4, "use_double_wide_mlp": True},
    {"num_kv_shared_layers": 7, "layer_types": ["full_attention"] * 8},
    {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "hidden_size_per_layer_input": 0},
    {"global_head_dim": 48, "attention_bias": True, "layer_types": ["full_attention", "sliding_attention"] * 4},
]


@pytest.mark.parametrize("stated", SHARING, ids=str)
def test_the_layers_of_gemma_4_have_the_heads_sources_and_tensors_of_transformers(stated: dict[str, Any]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    kinds = ["sliding_attention", "full_attention", *["sliding_attention"] * 5, "full_attention"]
    config = {"model_type": "gemma4_text", **SMALL, "num_hidden_layers": 8, "num_key_value_heads": 2, "head_dim": 16,
              "pad_token_id": None, "layer_types": kinds, **stated}  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(native(_copy(config)))
    described = decoder(config)
    assert described.tensors() == _stored(model)
    for layer, how in enumerate(described.attentions):
        theirs = model.model.layers[layer].self_attn
        assert how.reads == theirs.kv_shared_layer_index
        assert (how.heads.width, how.heads.groups) == (theirs.head_dim, theirs.num_key_value_groups)
        assert how.value_is_key is theirs.use_alternative_attention
        assert described.window_of(layer) == theirs.sliding_window


def test_layers_that_share_what_no_layer_has_are_refused() -> None:
    with pytest.raises(CheckpointError, match="share keys and values that no layer before them has"):
        decoder({"model_type": "gemma4_text", **SMALL, "num_hidden_layers": 4, "num_kv_shared_layers": 1})
    with pytest.raises(CheckpointError, match="5 layers share keys and values, and there are 4"):
        decoder({"model_type": "gemma4_text", **SMALL, "num_hidden_layers": 4, "num_kv_shared_layers": 5})


def test_experts_of_gemma_4_are_named() -> None:
    with pytest.raises(UnsupportedArchitecture, match="experts beside the MLP"):
        decoder({"model_type": "gemma4_text", **SMALL, "enable_moe_block": True})


@pytest.mark.parametrize("share", [0.25, 0.3, 1.0])
def test_the_ropes_of_gemma_4(share: float) -> None:
    table = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
        "full_attention": {
            "rope_type": "proportional",
            "rope_theta": 5e5,
            "partial_rotary_factor": share,
            "factor": 2.0,
        },
    }
    config = {"model_type": "gemma4_text", **SMALL, "num_hidden_layers": 6, "head_dim": 16, "global_head_dim": 40,
              "pad_token_id": None, "rope_parameters": table}  # fmt: skip
    made = native(_copy(config))
    from transformers import AutoModelForCausalLM

    rotary = AutoModelForCausalLM.from_config(made).model.rotary_emb
    for kind, rope in zip(made.layer_types, decoder(config).ropes, strict=True):
        theirs = getattr(rotary, f"{kind}_inv_freq").numpy()
        np.testing.assert_allclose(rope.inverse_frequencies(), theirs, rtol=2e-7)
        assert theirs.shape == rope.inverse_frequencies().shape


@pytest.mark.parametrize("scaling", [None, {"rope_type": "linear", "factor": 8.0}], ids=str)
def test_the_ropes_of_gemma_3(scaling: dict[str, Any] | None) -> None:
    config = {"model_type": "gemma3_text", **SMALL, "num_hidden_layers": 6, "head_dim": 16, "rope_theta": 5e5,
              "rope_local_base_freq": 2e4, "rope_scaling": scaling}  # fmt: skip
    made = native(_copy(config))
    from transformers import AutoModelForCausalLM

    rotary = AutoModelForCausalLM.from_config(made).model.rotary_emb
    for kind, rope in zip(made.layer_types, decoder(config).ropes, strict=True):
        theirs = getattr(rotary, f"{kind}_inv_freq").numpy()
        np.testing.assert_allclose(rope.inverse_frequencies(), theirs, rtol=2e-7)


MIXED = ["full_attention", "sliding_attention"] * 4
WINDOWS: list[dict[str, Any]] = [
    {"model_type": "mistral"},
    {"model_type": "mistral", "sliding_window": 1024},
    {"model_type": "mistral", "sliding_window": None},
    {"model_type": "qwen2", "sliding_window": 99},
    {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 5},
    {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 99, "layer_types": MIXED},
    *({"model_type": kind} for kind in ("gemma2", "gemma3_text", "cohere2", "olmo3", "exaone4", "smollm3", "phi3")),
    {"model_type": "gemma4_text"},
    {"model_type": "gemma3_text", "sliding_window_pattern": 3},
    {"model_type": "exaone4", "sliding_window": None, "layer_types": ["full_attention"] * 8},
    {"model_type": "smollm3", "use_sliding_window": True, "sliding_window": 9, "layer_types": ["sliding_attention"] * 8},
]  # fmt: skip


@pytest.mark.parametrize("stated", WINDOWS, ids=str)
def test_windows_are_those_of_transformers(stated: dict[str, Any]) -> None:
    config = {**SMALL, "num_hidden_layers": 8, "num_key_value_heads": 2, "pad_token_id": None, **stated}
    made = native(_copy(config))
    kinds = getattr(made, "layer_types", None) or ["sliding_attention"] * 8
    expected = [made.sliding_window if kind == "sliding_attention" else None for kind in kinds]
    described = decoder(config)
    assert [described.window_of(layer) for layer in range(8)] == expected


def test_absent_values_that_change_the_mathematics_are_named() -> None:
    assumed = decoder({"model_type": "glm", **SMALL}).assumed
    assert any(s.startswith("partial_rotary_factor = 0.5 ") for s in assumed)
    assert any(s.startswith("rms_norm_eps = 1.5625e-07 ") for s in assumed)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "llama", **SMALL, "sliding_window": 1024}, "sliding window of 1024"),
        ({"model_type": "qwen3", **SMALL, "layer_types": ["sliding_attention"]}, "sliding window"),
        ({"model_type": "mistral", **SMALL, "layer_types": ["chunked_attention"]}, "chunked_attention"),
        ({"model_type": "llama", **SMALL, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}, "dynamic"),
        ({"model_type": "smollm3", **SMALL, "use_sliding_window": True, "sliding_window": 64}, "windows"),
        ({"model_type": "stablelm", **SMALL, "num_key_value_heads": 2, "qk_layernorm": True}, "norm of its own"),
        ({"model_type": "gemma2", **SMALL, "use_bidirectional_attention": True}, "after them"),
        ({"model_type": "llama", **SMALL, "hidden_act": "relu"}, "relu"),
        ({"model_type": "phimoe", **SMALL}, "phimoe"),
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

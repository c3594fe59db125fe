"""Each field of config.json is read, harmless, named in the plan, or refused: over real configs, and over planted fields."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import families
from edgeconv.convert.claims import native
from edgeconv.convert.claims.fields import CHANGING, HARMLESS
from edgeconv.convert.families.glm_edge_v import FIELDS as GLM_EDGE_V
from edgeconv.convert.families.traced import ALWAYS_SO
from edgeconv.convert.gguf import describe as gguf
from edgeconv.convert.onnx import choose as onnx
from edgeconv.convert.onnx.trace_support import TRACED
from edgeconv.convert.openvino import choose as openvino
from edgeconv.convert.openvino import trace_support
from edgeconv.convert.program.reading import UnsupportedArchitecture
from edgeconv.core.errors import CheckpointError

from ...models import tiny
from .real_configs import OTHERS, SIZES, STREAMED, names_of, whole

FORMATS = ("openvino", "onnx", "gguf")


def _openvino(config: dict[str, Any]) -> tuple[str, ...]:
    return openvino.choose(config, names=names_of(config)).notes


def _onnx(config: dict[str, Any]) -> tuple[str, ...]:
    return onnx.chosen(config, names_of(config)).notes


def _gguf(config: dict[str, Any]) -> tuple[str, ...]:
    return gguf.describe_as_claimed(config, names_of(config))[1]


TAKE: dict[str, Callable[[dict[str, Any]], tuple[str, ...]]] = {"openvino": _openvino, "onnx": _onnx, "gguf": _gguf}
REAL = {name: (FORMATS, config) for name, config in STREAMED.items()} | OTHERS
UNKNOWN = {"layer_switch", "order_of_interleaved_layers", "use_embedding_sharing", "use_gated_activation", "use_parallel_block",
           "use_parallel_embedding",
           "cla_share_factor", "norm_type", "use_rotary_pos_emb", "dense_list", "org_vocab_size", "pool_type", "class_num",
           "attention_head_dim", "pad_id", "vision_config.in_chans", "vision_config.spatial_patch_size"}  # fmt: skip
"""Fields of the real configs of which nothing is known; a plan names them."""


@pytest.mark.parametrize("name", REAL)
def test_nothing_harmless_is_refused(name: str) -> None:
    formats, config = REAL[name]
    for form in formats:
        for note in TAKE[form](whole(config)):
            if note.startswith("Right up to 262,144 positions: "):
                continue  # Hunyuan's constant alpha
            listed = note.partition(": ")[2].rstrip(".").partition(" and ")[0].split(", ")
            assert set(listed) <= UNKNOWN, note


@pytest.mark.parametrize("kind", sorted(tiny.FAMILIES))
def test_nothing_that_transformers_writes_is_unknown(kind: str, tiny_model: Callable[..., Path]) -> None:
    config = json.loads((tiny_model(kind) / "config.json").read_text("utf-8"))
    for take in TAKE.values():
        assert take(config) == ()


@pytest.mark.parametrize("form", FORMATS)
def test_an_unknown_field_is_named(form: str) -> None:
    config = whole(STREAMED["Qwen3-0.6B"]) | {"my_company": "x", "stage": 3}
    [note] = TAKE[form](config)
    assert "my_company" in note
    assert "stage" in note


VALUES: tuple[Any, ...] = (True, 7, 0.3, "alibi", [0, 1], {"a": 1})
MODELS = {config["model_type"]: (FORMATS, config) for config in STREAMED.values()} | {
    config["model_type"]: (formats, config)
    for name, (formats, config) in OTHERS.items()
    if name != "Mistral-7B-Instruct-v0.1"
}


def _planted(field: str) -> list[Any]:
    return [value for value in VALUES if not CHANGING[field].is_neutral(value)]


@pytest.mark.parametrize("kind", MODELS)
def test_a_field_that_changes_the_mathematics_is_read_or_refused(kind: str) -> None:
    formats, config = MODELS[kind]
    config = whole(config)
    for form in formats:
        claimed = _reads(form, config) | ALWAYS_SO.get(kind, frozenset())
        for field, value in ((name, value) for name in CHANGING for value in _planted(name)):
            switched_off = field == "sliding_window" and "use_sliding_window" in config
            if field in claimed or switched_off or (field == "sliding_window" and not isinstance(value, int)):
                continue
            with pytest.raises(CheckpointError, match=f"{field}|mixture of experts"):
                TAKE[form](config | {field: value})


def _reads(form: str, config: dict[str, Any]) -> frozenset[str]:
    language, kind = families.of_language(config)[0], config["model_type"]
    if form == "gguf":
        return gguf.fields(kind, language.model_type if language and language.model_type != kind else None)
    try:
        return families.fields(config["model_type"], families.decoder(config).family)
    except UnsupportedArchitecture:
        return native.fields(config["model_type"]) or frozenset()


NESTED: dict[str, dict[str, Any]] = {
    "rope_scaling.factor": {"rope_scaling": {"factor": 4.0}},
    "rope_scaling.llama_4_scaling_beta": {"rope_scaling": {"rope_type": "default", "llama_4_scaling_beta": 0.1}},
    "rope_scaling.attention_factor": {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "attention_factor": 1.3}},
    "'dynamic'": {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "rope_parameters.partial_rotary_factor": {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    "is_causal": {"is_causal": False},
    "use_bidirectional_attention": {"use_bidirectional_attention": True},
}


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("said", NESTED)
@pytest.mark.parametrize("form", FORMATS)
def test_tables_and_attention_that_looks_ahead(form: str, said: str, kind: str) -> None:
    config = whole(MODELS[kind][1])
    config.pop("rope_scaling", None)
    with pytest.raises(CheckpointError, match=said):
        TAKE[form](config | NESTED[said])


@pytest.mark.parametrize("kind", ["phi3", "glm", "gemma3_text", "glm4", "granite"])
@pytest.mark.parametrize("field", ["is_causal", "use_bidirectional_attention"])
def test_attention_that_looks_ahead_is_refused_for_all(kind: str, field: str) -> None:
    formats, config = MODELS[kind]
    for form in formats:
        with pytest.raises(CheckpointError, match=field):
            TAKE[form](whole(config) | NESTED[field])


def test_dynamic_scaling_names_the_length_up_to_which_it_changes_nothing() -> None:
    config = whole(STREAMED["Mistral-7B-Instruct-v0.3"]) | NESTED["'dynamic'"]
    with pytest.raises(CheckpointError, match="32,768 positions") as found:
        _openvino(config)
    assert "take rope_scaling out" in (found.value.hint or "")
    table = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e6}
    with pytest.raises(CheckpointError) as found:
        _openvino(whole(STREAMED["Mistral-7B-Instruct-v0.3"]) | {"rope_theta": None, "rope_parameters": table})
    assert '"rope_type": "default" in rope_parameters' in (found.value.hint or "")


WITHOUT_EFFECT = {
    ("*", "model_type"), ("*", "max_position_embeddings"), ("*", "layer_types"), ("qwen2", "sliding_window"),
    ("qwen3", "sliding_window"), ("*", "rope_parameters"), ("*", "rope_scaling"), ("qwen2", "use_sliding_window"),
    ("qwen3", "use_sliding_window"),
}  # fmt: skip
"""Fields that are read for what the numbers of a plain decoder do not show: rope apart, windows (those of Qwen
begin at layers that these configs do not have), an old default."""
OTHER = {"hidden_act": "gelu", "rope_theta": 3e5, "rms_norm_eps": 3e-4, "partial_rotary_factor": 0.5, "sliding_window": 16,
         "head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1}  # fmt: skip


@pytest.mark.parametrize("name", STREAMED)
def test_what_a_reader_claims_it_reads(name: str) -> None:
    """A claimed field with another value makes another description, or is refused by the reader itself."""
    config = whole(STREAMED[name])
    kind = config["model_type"]
    plain = families.decoder(config)
    for field in families.fields(kind) - set(GLM_EDGE_V) | {"hidden_act"}:
        if ("*", field) in WITHOUT_EFFECT or (kind, field) in WITHOUT_EFFECT:
            continue
        now = config.get(field)
        value = OTHER.get(field, (not now) if isinstance(now, bool) or now is None else 2 * now)
        try:
            assert families.decoder(config | {field: value}) != plain, field
        except UnsupportedArchitecture:
            continue


TRACED_KINDS = sorted(TRACED | trace_support.SUPPORTED | set(trace_support.LIFTED))


def test_fields_of_transformers_classes_are_found_without_importing_them() -> None:
    from transformers import CONFIG_MAPPING, PretrainedConfig

    common = {field.name for field in dataclasses.fields(PretrainedConfig)}
    for kind in TRACED_KINDS:
        own = {field.name for field in dataclasses.fields(CONFIG_MAPPING[kind])} - common
        assert own <= (native.fields(kind) or frozenset()), kind


def test_a_field_is_harmless_or_changes_something_but_not_both() -> None:
    assert not HARMLESS & set(CHANGING)
    assert all(map(_planted, CHANGING))


def test_a_dynamic_scaling_changes_nothing_up_to_the_length_that_the_hint_names() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {**SIZES, "max_position_embeddings": 64}
    dynamic = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **sizes)).eval()
    scaled = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **sizes, rope_parameters=dynamic)).eval()
    scaled.load_state_dict(plain.state_dict())
    ids = torch.arange(96)[None]
    with torch.no_grad():
        assert torch.equal(plain(ids[:, :64]).logits, scaled(ids[:, :64]).logits)
        assert not torch.allclose(plain(ids).logits, scaled(ids).logits, rtol=0, atol=1e-6)

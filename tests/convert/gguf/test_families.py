"""What each family's file says: keys read back from the file, and configs that llama.cpp cannot run."""

import math
import re

import gguf
import numpy as np
import pytest

from edgeconv.convert.families import projectors, registry
from edgeconv.convert.gguf.describe import describe, supported
from edgeconv.core.errors import CheckpointError

from ...models import tiny
from .samples import GEMMA, config, keys, write_checkpoint, write_gguf

ROPE = {"rope_type": "default", "rope_theta": 1e6}
SURVIVE = {"rope_parameters": ROPE, "rms_norm_eps": 1e-3, "max_position_embeddings": 512}
ARCHS = {
    "lfm2": "lfm2", "lfm2_moe": "lfm2moe", "granitemoehybrid": "granitehybrid", "falcon_h1": "falcon-h1", "mamba2": "mamba2",
    "qwen3_5_text": "qwen35",
    "cohere2": "cohere2", "ernie4_5": "ernie4_5", "ernie4_5_moe": "ernie4_5-moe",
    "exaone4": "exaone4", "gemma": "gemma", "gemma2": "gemma2",
    "granite": "granite", "hunyuan_v1_dense": "hunyuan-dense", "smollm3": "smollm3", "stablelm": "stablelm",
    "gemma3n_text": "gemma3n", "gemma4_text": "gemma4",
    "gemma3_text": "gemma3", "glm": "chatglm", "glm4": "glm4", "llama": "llama", "mistral": "llama", "olmo2": "olmo2",
    "phi3": "phi3", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "granitemoe": "granitemoe",
    "glm4_moe_lite": "deepseek2", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2",
    "qwen3_next": "qwen3next", "ministral3": "mistral3",
    "cohere": "command-r", "phi": "phi2", "olmo3": "olmo2",
    "mixtral": "llama", "qwen2_moe": "qwen2moe", "gpt_oss": "gpt-oss", "glm4_moe": "glm4moe",
}  # fmt: skip


def minimal(model_type, **fields):
    own = GEMMA if model_type == "gemma3_text" else {"model_type": model_type}
    return config(**own) | fields


def test_table():
    with_pictures = {one.model_type for one in registry.every() if one.language}
    assert set(supported()) - with_pictures == {*ARCHS, "glm_edge_v"}


def test_projectors_are_of_models_that_can_be_written():
    declared = {one.model_type: one.vision_part.mmproj for one in registry.every() if one.vision_part}
    assert {name for name, mmproj in declared.items() if mmproj} <= set(supported())
    assert {mmproj.kind for mmproj in declared.values() if mmproj} == set(projectors())


def test_unknown_architecture_is_told_what_is_supported():
    with pytest.raises(CheckpointError) as caught:
        describe(config(model_type="mamba"))
    assert "mamba" in caught.value.message
    assert f"and {len(supported()) - 6} more types" in (caught.value.hint or "")


@pytest.mark.parametrize("model_type", sorted(tiny.FAMILIES))
def test_numbers_survive_from_config_to_file(model_type, tiny_model, tmp_path):
    """Upstream's converter loses rope_theta, the epsilon and the context length of a GLM."""
    changed = SURVIVE
    if model_type == "gemma3_text":
        changed = SURVIVE | {"rope_parameters": {"sliding_attention": tiny.ROPE, "full_attention": ROPE}}
    if model_type in ("glm", "phi3"):
        changed = SURVIVE | {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}
        changed |= {"partial_rotary_factor": 0.5} if model_type == "glm" else {}
    write_gguf(tiny_model(model_type, **changed), tmp_path / "a.gguf", "f32")
    read, arch = keys(tmp_path / "a.gguf"), ARCHS[model_type]
    assert read["general.architecture"] == arch
    assert read[f"{arch}.rope.freq_base"] == 1e6
    assert read[f"{arch}.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-3)
    expected = {
        "context_length": 512, "vocab_size": 4096, "embedding_length": 64, "feed_forward_length": 128,
        "block_count": 3 if arch == "gemma3" else 2, "attention.head_count": 4, "attention.head_count_kv": 2,
        "attention.key_length": 16, "attention.value_length": 16,
        "rope.dimension_count": 8 if model_type in ("glm", "phi3") else 16,
    }  # fmt: skip
    assert {name: read[f"{arch}.{name}"] for name in expected} == expected


def test_transformers_4_configs_say_the_same():
    old = minimal("llama", rope_scaling={"type": "linear", "factor": 4.0}, rope_theta=5e5)
    new = minimal("llama", rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}, rope_theta=None)
    assert describe(old).keys == describe(new).keys
    assert describe(old).keys["llama.rope.scaling.factor"].content == 4.0


def test_absent_fields_take_transformers_defaults_and_are_listed():
    fields = minimal("glm")
    for name in ("rms_norm_eps", "rope_theta", "partial_rotary_factor", "max_position_embeddings"):
        del fields[name]
    described = describe(fields)
    assert described.keys["chatglm.attention.layer_norm_rms_epsilon"].content == 1.5625e-07
    assert described.keys["chatglm.context_length"].content == 131072
    assert described.keys["chatglm.rope.dimension_count"].content == 8
    assert {text.split(" = ")[0] for text in described.decoder.assumed} == {
        "hidden_act", "rms_norm_eps", "rope_theta", "partial_rotary_factor",
    }  # fmt: skip


def test_llama3_rope_becomes_a_tensor_of_factors():
    scaling = {
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    described = describe(minimal("llama", head_dim=128, rope_parameters=scaling))
    (factors,) = [t for t in described.tensors if t.name == "rope_freqs.weight"]
    assert factors.shape == (64,)
    assert (factors.values[0], factors.values[-1]) == (1.0, pytest.approx(8.0))
    assert (np.diff(factors.values) >= -1e-6).all()
    with pytest.raises(CheckpointError, match="kind 'llama3'"):
        describe(minimal("qwen3", rope_parameters=scaling))


def test_longrope_becomes_two_tensors():
    scaling = {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
    fields = minimal("phi3", rope_scaling=scaling, original_max_position_embeddings=64)
    described = describe(fields)
    assert {t.name: t.values[0] for t in described.tensors if t.values is not None} == {
        "rope_factors_long.weight": 2.0, "rope_factors_short.weight": 1.0,
    }  # fmt: skip
    attention = described.keys["phi3.rope.scaling.attn_factor"].content
    assert attention == pytest.approx((1 + np.log(8) / np.log(64)) ** 0.5)
    with pytest.raises(CheckpointError, match="long_factor has 3 numbers"):
        describe(fields | {"rope_scaling": scaling | {"long_factor": [1.0] * 3}})


def test_gemma_states_a_pattern_only_where_it_is_not_the_usual_one():
    usual = describe(minimal("gemma3_text", num_hidden_layers=7))
    other = describe(minimal("gemma3_text", num_hidden_layers=3, sliding_window_pattern=3))
    whole = describe(minimal("gemma3_text", layer_types=["full_attention"] * 2))
    assert "gemma3.attention.sliding_window_pattern" not in usual.keys
    assert usual.notes == ()
    assert other.keys["gemma3.attention.sliding_window_pattern"].content == [True, True, False]
    assert "sliding_window_pattern" in other.notes[0]
    assert whole.keys["gemma3.attention.sliding_window"].content == 0
    old = minimal(
        "gemma3_text", rope_theta=1e6, rope_local_base_freq=5000.0, rope_scaling={"rope_type": "linear", "factor": 8.0}
    )
    assert describe(old).keys["gemma3.rope.freq_base_swa"].content == 5000.0
    assert describe(old).keys["gemma3.rope.scaling.factor"].content == 8.0


def test_vision_half_is_left_to_its_own_file(tmp_path):
    extra = {"model.vision.adapter.boi": (1, 1, 64)}
    source = write_checkpoint(tmp_path / "v", config(model_type="glm", vision_config={}), extra=extra)
    prepared, _ = write_gguf(source, tmp_path / "a.gguf", "q8_0")
    assert not [t for t in prepared.model.tensors if "vision" in (t.source or "")]
    text = write_checkpoint(tmp_path / "t", config(), extra=extra)
    with pytest.raises(CheckpointError, match="no place in a llama decoder"):
        write_gguf(text, tmp_path / "b.gguf", "q8_0")


@pytest.mark.parametrize("model_type", ["mistral", "phi3"])
def test_a_window_that_llama_cpp_lacks_caps_the_context(model_type):
    capped = describe(minimal(model_type, sliding_window=128))
    assert capped.keys[f"{capped.arch}.context_length"].content == capped.context == 128
    assert "a context of 128 tokens, the window's width, not 512" in capped.notes[0]
    for window in (512, None):  # as long as the context, or none
        whole = describe(minimal(model_type, sliding_window=window))
        assert (whole.notes, whole.context) == ((), 512)


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({"use_sliding_window": True, "sliding_window": 128, "max_window_layers": 0}, 128),
        ({"use_sliding_window": True, "sliding_window": 128, "max_window_layers": 9}, 512),  # no layer has it
        ({"use_sliding_window": False, "sliding_window": 128}, 512),
        (
            {"use_sliding_window": True, "sliding_window": 128, "layer_types": ["full_attention", "sliding_attention"]},
            128,
        ),
        ({"use_sliding_window": True, "sliding_window": 128, "layer_types": ["full_attention"] * 2}, 512),
    ],
)
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_windows_of_qwen_cap_the_context_where_a_layer_has_one(model_type, fields, context):
    assert describe(minimal(model_type, **fields)).context == context


def test_attention_of_another_kind_is_refused():
    with pytest.raises(CheckpointError, match="chunked_attention"):
        describe(minimal("mistral", layer_types=["full_attention", "chunked_attention"]))


YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 128}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "glm", "head_dim": 32}, "4 heads of 32 are 128 wide, the model 64"),
        ({"model_type": "qwen2", "head_dim": 32}, "128 wide"),
        ({"model_type": "phi3", "head_dim": 32}, "128 wide"),
        ({"hidden_act": "gelu"}, "always silu"),
        ({"hidden_act": "relu2"}, "activation relu2"),
        ({"head_dim": 15}, "15 of the 15 dimensions"),
        ({"num_key_value_heads": 3}, "4 heads cannot share 3"),
        ({"model_type": "glm", "partial_rotary_factor": 0.19}, "3 of the 16 dimensions"),
        ({"model_type": "glm", "partial_rotary_factor": 2.0}, "32 of the 16 dimensions"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "kind 'dynamic'"),
        ({"rope_parameters": {"sliding_attention": {}, "full_attention": {}}}, "different rotary"),
        ({"model_type": "qwen2", "rope_parameters": YARN | {"beta_fast": 16}}, "beta_fast = 16"),
        ({"rope_parameters": YARN | {"attention_factor": "one"}}, "attention_factor is 'one', not a positive number"),
        ({"model_type": "qwen2", "rope_parameters": YARN | {"truncate": False}}, "truncate = False"),
        ({"rope_parameters": {"rope_type": "linear"}}, r"rope_parameters\.factor is None, not a positive"),
        ({"rope_parameters": {"rope_type": "linear", "factor": "four"}}, r"rope_parameters\.factor is 'four'"),
        ({"rms_norm_eps": 1e300}, "rms_norm_eps is 1e\\+300"),
        ({"max_position_embeddings": -4}, "max_position_embeddings is -4"),
        ({"model_type": "qwen3", "attention_bias": True}, "output projections have biases"),
        ({**GEMMA, "query_pre_attn_scalar": 144}, "query_pre_attn_scalar is 144"),
        ({**GEMMA, "attn_logit_softcapping": 50.0}, "caps scores"),
        ({**GEMMA, "hidden_activation": "silu"}, "always gelu_pytorch_tanh"),
        ({**GEMMA, "layer_types": ["full_attention"]}, "for 1 layers"),
    ],
)
def test_what_llama_cpp_cannot_run_is_refused_with_the_reason(fields, said):
    with pytest.raises(CheckpointError, match=said):
        describe(config(**fields))


def test_yarn_as_llama_cpp_computes_it_is_taken():
    described = describe(config(rope_parameters=YARN | {"attention_factor": 0.1 * math.log(4.0) + 1, "beta_fast": 32}))
    assert described.keys["llama.rope.scaling.type"].content == "yarn"
    assert described.keys["llama.rope.scaling.original_context_length"].content == 128
    assert "llama.rope.scaling.attn_factor" not in described.keys
    other = describe(config(rope_parameters=YARN | {"attention_factor": 1.0}))
    assert math.isclose(other.keys["llama.rope.scaling.attn_factor"].content, 1 / (0.1 * np.log(4.0) + 1), rel_tol=1e-6)


def of(thing):
    """Return the keys that gguf-py knows."""
    for name, value in vars(thing).items():
        if isinstance(value, str) and not name.startswith("_"):
            yield value
        elif isinstance(value, type):
            yield from of(value)


ELSEWHERE = {"cohere2", "exaone4", "hunyuan_v1_dense", "olmo3", "smollm3"}
"""llama.cpp does not take what is tiny of these families."""


@pytest.mark.parametrize("model_type", sorted(set(ARCHS) - ELSEWHERE))
def test_every_name_is_one_that_gguf_py_has(model_type, tiny_model, tmp_path):
    """Our own tables say names of keys and tensors as texts: see docs/decisions/0025-small-replacements.md."""
    fields = tiny.LIKE_E2B if model_type == "gemma3n_text" else {}
    write_gguf(tiny_model(model_type, **fields), tmp_path / "a.gguf", "f32")
    known = {re.sub(r"\\{\w+\\}", r"[\\w-]+", re.escape(key)) for key in of(gguf.Keys)}
    read = gguf.GGUFReader(tmp_path / "a.gguf")
    names = [name for name in read.fields if not name.startswith("GGUF.")]
    assert [name for name in names if not any(re.fullmatch(key, name) for key in known)] == []
    arch = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == ARCHS[model_type])
    tensors = {gguf.TENSOR_NAMES[tensor].replace("{bid}", "0") for tensor in gguf.MODEL_TENSORS[arch]}
    found = {re.sub(r"\.(weight|bias)$", "", re.sub(r"blk\.\d+\.", "blk.0.", one.name)) for one in read.tensors}
    assert found <= tensors

"""A GGUF seen as a checkpoint: config, tensors, rows, parts, refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.gguf.describe import describe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError
from edgeconv.quantize.integer import to_float32

from ...models import tiny
from ..gguf.samples import GEMMA, checkpoint, config, tensors, write_checkpoint, write_gguf
from .files import rewritten

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": {"attention_bias": True, "mlp_bias": True},
    "llama 3": {"rope_theta": 500000.0, "rope_scaling": LLAMA3, "head_dim": 64, "num_key_value_heads": 1},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "yarn": {
        "model_type": "qwen3",
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
    },
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3", "tie_word_embeddings": True},
    "phi3": {"model_type": "phi3", "sliding_window": 256},
    "longrope": {
        "model_type": "phi3",
        "original_max_position_embeddings": 128,
        "rope_scaling": {"type": "longrope", "long_factor": [1.1 + i for i in range(8)], "short_factor": [1.0] * 8},
    },
    "glm": {"model_type": "glm", "partial_rotary_factor": 0.5, "attention_bias": True},
    "glm4": {"model_type": "glm4", "partial_rotary_factor": 0.5},
    "gemma3": GEMMA,
    "gemma3, another pattern": GEMMA | {"layer_types": ["full_attention", "sliding_attention"]},
    "gemma3, all global": GEMMA | {"layer_types": ["full_attention"] * 2, "final_logit_softcapping": 30.0},
}


def opened(source: Path, out: Path, kind: str, **options: Any) -> Checkpoint:
    """Convert a folder to a GGUF and open that."""
    write_gguf(source, out, kind, **options)
    return open_checkpoint(out)


@pytest.mark.parametrize("name", VARIANTS)
def test_config_and_weights_come_back(name: str, tmp_path: Path) -> None:
    original = checkpoint(tmp_path / "source", **VARIANTS[name])
    seen = opened(tmp_path / "source", tmp_path / "a-f32.gguf", "f32")
    given, found = describe(original.config), describe(seen.config)
    assert {key: value.pack() for key, value in found.keys.items()} == {k: v.pack() for k, v in given.keys.items()}
    assert found.tensors == given.tensors
    assert seen.names == original.names
    for tensor in seen.names:
        assert seen.info(tensor).shape == original.info(tensor).shape
        wanted = original.tensor(tensor)
        if name.startswith("gemma3") and "norm" in tensor:  # adding one and taking it away again rounds
            np.testing.assert_allclose(seen.tensor(tensor), wanted, rtol=0, atol=2e-7)
        else:
            assert np.array_equal(seen.tensor(tensor), wanted), tensor


WRITTEN: dict[str, dict[str, Any]] = {
    **{name: {} for name in sorted(tiny.FAMILIES)},
    "mistral": {"sliding_window": None},
    "cohere2": {"num_hidden_layers": 5, "layer_types": None},
    "ernie4_5": {},
    "exaone4": {"sliding_window": None, "layer_types": ["full_attention"] * 2},
    "gemma": {},
    "gemma2": {"num_hidden_layers": 3, "layer_types": None},
    "granite": {"attention_multiplier": 0.15},
    "lfm2": {},
    "qwen3_5_text": {},
    "hunyuan_v1_dense": {"attention_bias": False},
    "smollm3": {"num_hidden_layers": 5, "no_rope_layers": None},
    "stablelm": {"use_parallel_residual": True},
}
"""Families that become GGUF files, as llama.cpp knows them."""


@pytest.mark.parametrize("model_type", WRITTEN)
def test_transformers_computes_the_same_model(model_type: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    source = tiny_model(model_type, **WRITTEN[model_type])
    seen = opened(source, tmp_path / "a.gguf", "f32")
    built = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(seen.folder), dtype=torch.float32).eval()
    weights = {name: torch.from_numpy(np.array(seen.tensor(name))) for name in seen.names}
    found = built.load_state_dict(weights, strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) <= {"lm_head.weight"}
    built.tie_weights()
    reference = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    ids = torch.arange(3, 43)[None]
    with torch.no_grad():
        torch.testing.assert_close(built(ids).logits, reference(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["bf16", "f16"])
def test_sixteen_bits_pass_through(kind: str, builtin_model: Path, tmp_path: Path) -> None:
    original, seen = open_checkpoint(builtin_model), opened(builtin_model, tmp_path / "a.gguf", kind)
    dtype = {"bf16": "BF16", "f16": "F16"}[kind]
    assert {seen.info(name).dtype for name in seen.names if len(seen.info(name).shape) == 2} == {dtype}
    if kind == "bf16":
        for name in seen.names:
            assert np.array_equal(to_float32(seen.tensor(name)), to_float32(original.tensor(name))), name


@pytest.mark.parametrize("kind", ["q8_0", "q4_k_m", "iq4_xs"])
def test_quantized_rows_are_gguf_py_s(kind: str, builtin_model: Path, tmp_path: Path) -> None:
    seen = opened(builtin_model, tmp_path / "a.gguf", kind)
    stored = tensors(tmp_path / "a.gguf")
    for tensor in describe(seen.config).tensors:
        raw, name = stored[tensor.name], str(tensor.source)
        values = dequantize(raw.data, raw.tensor_type).reshape(tensor.shape)
        assert seen.info(name).dtype == "F32"
        assert np.array_equal(seen.tensor(name), values)
        assert np.array_equal(seen.rows(name, 3, 11), values[3:11])
    assert "quantized GGUF" in " ".join(seen.notes)


def test_any_range_of_rows_is_in_transformers_order(tmp_path: Path) -> None:
    """A Llama's rows of q and k are reordered by heads of 16; a range may begin and end inside a head."""
    original = checkpoint(tmp_path / "source", attention_bias=True)
    seen = opened(tmp_path / "source", tmp_path / "a.gguf", "f32")
    for kind in ("weight", "bias"):
        name = f"model.layers.1.self_attn.k_proj.{kind}"
        for start, stop in ((0, 32), (5, 6), (7, 25), (16, 32), (30, 32)):
            assert np.array_equal(seen.rows(name, start, stop), original.tensor(name)[start:stop])


def test_rows_are_decoded_only_as_far_as_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.convert.gguf_source import tensors as module

    checkpoint(tmp_path / "source")
    seen = opened(tmp_path / "source", tmp_path / "a.gguf", "q8_0")
    counted = []

    def decode(rows: Any, *given: Any) -> Any:
        counted.append(len(rows))
        return true(rows, *given)

    true = module.decode
    monkeypatch.setattr(module, "decode", decode)
    seen.rows("model.embed_tokens.weight", 100, 120)
    seen.rows("model.layers.0.self_attn.q_proj.weight", 20, 30)
    assert counted == [20, 16]


def test_all_parts_of_a_split_file(builtin_model: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = opened(builtin_model, tmp_path / "whole" / "a.gguf", "q8_0")
    write_gguf(builtin_model, tmp_path / "a.gguf", "q8_0", split_max_size=2_000_000)
    paths = sorted(tmp_path.glob("*.gguf"))
    assert len(paths) > 2
    seen = open_checkpoint(paths[1])
    assert list(seen.shards) == [path.name for path in paths]
    assert seen.origin == tmp_path
    assert seen.name == "a"
    assert seen.names == whole.names
    assert all(np.array_equal(seen.tensor(name), whole.tensor(name)) for name in seen.names)


def test_q_k_and_v_in_one_as_llama_cpp_s_chatglm_has_them(tmp_path: Path) -> None:
    original = checkpoint(tmp_path / "source", model_type="glm", attention_bias=True)
    write_gguf(tmp_path / "source", tmp_path / "a.gguf", "f32")
    rewritten(tmp_path / "a.gguf", tmp_path / "b.gguf", fuse=True)
    seen = open_checkpoint(tmp_path / "b.gguf")
    assert seen.config["attention_bias"]
    assert seen.names == original.names
    for name in seen.names:
        assert np.array_equal(seen.tensor(name), original.tensor(name)), name


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama of f32."""
    folder = tmp_path_factory.mktemp("small")
    write_gguf(write_checkpoint(folder / "source", config()), folder / "a.gguf", "f32")
    return folder / "a.gguf"


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert caught.value.hint
    return caught.value.message


def test_an_unknown_architecture_is_named(small: Path, tmp_path: Path) -> None:
    assert "'mamba'" in refusal(rewritten(small, tmp_path / "b.gguf", {"general.architecture": "mamba"}))


def test_an_unknown_pre_tokenizer_is_named(small: Path, tmp_path: Path) -> None:
    assert "'bloom'" in refusal(rewritten(small, tmp_path / "b.gguf", {"tokenizer.ggml.pre": "bloom"}))
    assert "does not name" in refusal(rewritten(small, tmp_path / "c.gguf", {"tokenizer.ggml.pre": None}))


def test_an_unknown_kind_of_vocabulary_is_named(small: Path, tmp_path: Path) -> None:
    assert "'bert'" in refusal(rewritten(small, tmp_path / "b.gguf", {"tokenizer.ggml.model": "bert"}))


def test_a_key_that_is_absent_or_no_number(small: Path, tmp_path: Path) -> None:
    assert "llama.context_length" in refusal(rewritten(small, tmp_path / "b.gguf", {"llama.context_length": None}))
    message = refusal(rewritten(small, tmp_path / "c.gguf", {"llama.embedding_length": "wide"}))
    assert "'wide'" in message


def test_a_type_that_gguf_py_cannot_decode_is_named(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source", hidden_size=256, num_attention_heads=4, head_dim=64)
    write_gguf(source.folder, tmp_path / "a.gguf", "q8_0")
    data = bytearray((tmp_path / "a.gguf").read_bytes())
    entry = data.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4 + 16
    data[entry : entry + 4] = int(gguf.GGMLQuantizationType.I8).to_bytes(4, "little")
    (tmp_path / "b.gguf").write_bytes(data)
    assert "i8, which gguf cannot decode" in refusal(tmp_path / "b.gguf")


def test_a_damaged_file_is_refused(small: Path, tmp_path: Path) -> None:
    (tmp_path / "b.gguf").write_bytes(small.read_bytes()[:-100])
    assert "truncated" in refusal(tmp_path / "b.gguf")
    (tmp_path / "c.gguf").write_bytes(b"PK not a gguf at all, but long enough")
    assert "not a GGUF" in refusal(tmp_path / "c.gguf")

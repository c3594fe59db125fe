"""Rung 0 on GGUF: what each type allows, tensors in the checkpoint's form, keys against the config."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.gguf.export import prepare
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.integer import to_float32
from edgeconv.validate.checks import structure_gguf
from edgeconv.validate.report.model import Check
from edgeconv.validate.weights.gguf import GgufWeights

from .gguf_files import edit, halves, set_key, write

TYPES = ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"]
MIX = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m"}
DOWN, SOURCE = "blk.4.ffn_down.weight", "model.layers.4.mlp.down_proj.weight"
SCALES = {"q8_0": (0, 34), "q4_k": (0, 144), "q5_k": (2, 176), "q6_k": (208, 210)}
"""Type → place of a float16 scale or minimum in a block, and the block's bytes."""


@pytest.fixture(scope="module")
def checkpoint(builtin_model: Path) -> Checkpoint:
    return open_checkpoint(builtin_model)


def check(file: Path, checkpoint: Checkpoint) -> Check:
    return structure_gguf.check(file, None, checkpoint, GgufWeights(open_gguf(file), checkpoint), Silent())


def pure(kind: str) -> Any:
    return recipe(MIX.get(kind, kind), pure=True)


@pytest.mark.parametrize("kind", TYPES)
def test_an_untouched_file_passes_and_the_bound_is_tight(kind: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    one = check(write(checkpoint, tmp_path / "a.gguf", pure(kind)), checkpoint)
    assert (one.status, one.failures) == ("passed", [])
    assert one.figures["weights"] == len(checkpoint.names)
    # in q8_0 nearly every scale is rounded by far less than the most that it may be, which 127 levels would multiply
    assert (0.8 if kind == "q8_0" else 0.9) < one.figures["worst_error"] <= 1


@pytest.mark.parametrize("kind", ["q4_0", "q5_1", "q2_k", "q4_k", "q6_k", "iq4_nl"])
def test_an_importance_matrix_is_no_fault(kind: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = {t.name: t for t in prepare(checkpoint, pure(kind), "a.gguf").model.tensors if len(t.shape) > 1}
    importance = {name: np.exp(random.standard_normal(t.shape[-1])).astype(np.float32) for name, t in names.items()}
    file = write(checkpoint, tmp_path / "a.gguf", pure(kind), importance)
    assert file.read_bytes() != write(checkpoint, tmp_path / "b.gguf", pure(kind)).read_bytes()
    one = check(file, checkpoint)
    assert (one.status, one.failures) == ("passed", [])


@pytest.mark.parametrize("kind", ["q4_0", "q4_1", "q5_0", "q5_1"])
def test_levels_of_an_importance_matrix_that_the_file_does_not_state_are_a_fault(
    kind: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Without one each level is the nearest, so that a sibling's weights show however close they are."""
    names = {t.name: t for t in prepare(checkpoint, pure(kind), "a.gguf").model.tensors if len(t.shape) > 1}
    random = np.random.default_rng(0)
    importance = {name: np.exp(random.standard_normal(t.shape[-1])).astype(np.float32) for name, t in names.items()}
    file = write(checkpoint, tmp_path / "a.gguf", pure(kind), importance)
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b"quantize.imatrix.file", b"quantize.another.file"))
    assert check(file, checkpoint).status == "failed"


@pytest.mark.parametrize("kind", SCALES)
@pytest.mark.parametrize("how", ["all moved by one", "two exchanged", "one zeroed", "one infinite"])
def test_a_wrong_scale_is_found_in_its_tensor(how: str, kind: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    at, block = SCALES[kind]

    def spoil(data: np.ndarray) -> None:
        scales = halves(data, at, block)
        if how == "all moved by one":
            scales[:] = np.roll(scales, 1)
        elif how == "two exchanged":
            ratio = np.abs(scales[1:] / scales[:-1]).astype(np.float32)
            first = int(np.argmin(np.abs(ratio - 1.5)))  # not the most different ones
            scales[[first, first + 1]] = scales[[first + 1, first]]
        else:
            scales[7] = 0 if how == "one zeroed" else np.inf

    file = write(checkpoint, tmp_path / "a.gguf", pure(kind))
    edit(file, DOWN, spoil)
    one = check(file, checkpoint)
    assert one.figures["wrong"] == 1
    (failure,) = one.failures
    assert failure.startswith(f"{SOURCE} ({kind})")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("context_length", 256),
        ("rope.freq_base", 1e6),
        ("rope.dimension_count", 16),
        ("attention.layer_norm_rms_epsilon", 1e-3),
        ("attention.head_count", 8),
        ("attention.head_count_kv", 1),
        ("block_count", 5),
        ("embedding_length", 128),
        ("feed_forward_length", 512),
        ("vocab_size", 4000),
    ],
)
def test_a_key_that_is_not_the_configs_is_named(key: str, value: float, checkpoint: Checkpoint, tmp_path: Path) -> None:
    file = write(checkpoint, tmp_path / "a.gguf", "q8_0")
    set_key(file, f"chatglm.{key}", value)
    (failure,) = check(file, checkpoint).failures
    assert failure.startswith(f"chatglm.{key} is {value:g}, by the config ")


def test_keys_that_llama_cpp_knows_by_itself_may_be_absent(checkpoint: Checkpoint, tmp_path: Path) -> None:
    file = write(checkpoint, tmp_path / "a.gguf", "q8_0")
    raw = file.read_bytes()
    for key in ("vocab_size", "attention.key_length", "attention.value_length", "rope.freq_base"):
        assert f"chatglm.{key}".encode() in raw
        raw = raw.replace(f"chatglm.{key}".encode(), f"chatxxx.{key}".encode())
    file.write_bytes(raw)
    assert check(file, checkpoint).failures == []  # the model's theta is llama.cpp's default
    file.write_bytes(raw.replace(b"chatglm.context_length", b"chatxxx.context_length"))
    assert any("context_length is not stated" in failure for failure in check(file, checkpoint).failures)


def swap(data: np.ndarray, half: int) -> None:
    data[:] = np.concatenate([data[half:], data[:half]])


def swap_rows(data: np.ndarray) -> None:
    data[[10, 20]] = data[[20, 10]]


def flip(data: np.ndarray) -> None:
    data[0, -4] ^= 1


TENSOR_FAULTS: dict[str, tuple[str, Callable[[np.ndarray], None], str]] = {
    "gate and up swapped": ("blk.2.ffn_up.weight", lambda d: swap(d, len(d) // 2), "2.mlp.gate_up_proj"),
    "zeroed": ("blk.4.attn_output.weight", lambda d: d.fill(0), "4.self_attn.o_proj.weight (q8_0): all its values are zero"),
    "two rows exchanged": (DOWN, swap_rows, "in 2 of 256 rows"),
    "a norm's last bit": ("blk.1.attn_norm.weight", flip, "1.input_layernorm"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TENSOR_FAULTS)
def test_a_planted_fault_is_found(fault: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    tensor, change, expected = TENSOR_FAULTS[fault]
    file = write(checkpoint, tmp_path / "a.gguf", "q8_0")
    edit(file, tensor, change)
    (failure,) = check(file, checkpoint).failures
    assert expected in failure


def test_a_tensor_by_another_name_is_unmatched_and_not_passed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    file = write(checkpoint, tmp_path / "a.gguf", "q8_0")
    raw = file.read_bytes()
    assert raw.count(b"blk.3.attn_q.weight") == 1
    file.write_bytes(raw.replace(b"blk.3.attn_q.weight", b"blk.3.attn_x.weight"))
    one = check(file, checkpoint)
    assert any("model.layers.3.self_attn.q_proj.weight" in failure for failure in one.failures)
    assert any("blk.3.attn_x.weight" in failure for failure in one.failures)
    assert one.figures["weights"] == len(checkpoint.names) - 1


def with_more(file: Path, out: Path, tensors: dict[str, np.ndarray], keys: dict[str, Any]) -> Path:
    """A copy with further tensors and keys, written by llama.cpp's own writer."""
    import gguf

    old = gguf.GGUFReader(file)
    arch = old.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, arch)
    for name, field in old.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture" and name not in keys:
            sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub)
    for name, value in keys.items():
        kinds = {bool: gguf.GGUFValueType.BOOL, int: gguf.GGUFValueType.UINT32, str: gguf.GGUFValueType.STRING}
        writer.add_key_value(name, value, kinds.get(type(value), gguf.GGUFValueType.FLOAT32))
    for tensor in old.tensors:
        if tensor.name not in tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


@pytest.fixture(scope="module")
def llama(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    checkpoint = open_checkpoint(tiny_model("llama"))
    return write(checkpoint, tmp_path_factory.mktemp("llama") / "a.gguf", "f32"), checkpoint


@pytest.mark.parametrize(
    "name",
    [
        "blk.1.attn_q.bias",
        "blk.0.attn_output.bias",
        "blk.1.ffn_up.bias",
        "rope_freqs.weight",
        "blk.0.attn_q_norm.weight",
    ],
)
def test_a_tensor_that_llama_cpp_computes_with_is_a_failure(
    name: str, llama: tuple[Path, Checkpoint], tmp_path: Path
) -> None:
    file, checkpoint = llama
    rows = {"ffn_up": 128, "rope_freqs": 8, "attn_q_norm": 16}
    size = next((rows[part] for part in rows if part in name), 64)
    noise = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    (failure,) = check(with_more(file, tmp_path / "a.gguf", {name: noise}, {}), checkpoint).failures
    assert name in failure
    nothing = np.zeros_like(noise) if name.endswith("bias") else np.ones_like(noise)
    one = check(with_more(file, tmp_path / "b.gguf", {name: nothing}, {}), checkpoint)
    assert one.failures == []
    assert any(name in warning for warning in one.warnings)


@pytest.mark.parametrize(
    ("key", "value", "neutral"),
    [
        ("llama.rope.scale_linear", 4.0, 1.0),
        ("llama.rope.scaling.factor", 4.0, 1.0),
        ("llama.rope.scaling.type", "linear", "none"),
        ("llama.rope.scaling.attn_factor", 0.5, 1.0),
        ("llama.attention.causal", False, True),
        ("llama.pooling_type", 1, 0),
        ("llama.expert_count", 8, 0),
        ("llama.logit_scale", 0.5, 1.0),
        ("llama.attention.sliding_window", 64, 0),
    ],
)
def test_a_key_that_llama_cpp_obeys_is_a_failure(
    key: str, value: Any, neutral: Any, llama: tuple[Path, Checkpoint], tmp_path: Path
) -> None:
    file, checkpoint = llama
    (failure,) = check(with_more(file, tmp_path / "a.gguf", {}, {key: value}), checkpoint).failures
    assert key in failure
    assert check(with_more(file, tmp_path / "b.gguf", {}, {key: neutral}), checkpoint).failures == []


def test_what_a_file_proposes_for_sampling_is_the_checkpoints(llama: tuple[Path, Checkpoint], tmp_path: Path) -> None:
    file, checkpoint = llama
    stated = replace(checkpoint, generation_config={"temperature": 0.6, "top_k": 20})
    keys = {"general.sampling.temp": 0.6, "general.sampling.top_k": 20}
    assert check(with_more(file, tmp_path / "a.gguf", {}, keys), stated).failures == []
    for key, value in {"temp": 3.0, "top_k": 1, "top_p": 0.5, "mirostat": 2}.items():
        name = f"general.sampling.{key}"
        (failure,) = check(with_more(file, tmp_path / f"{key}.gguf", {}, keys | {name: value}), stated).failures
        assert name in failure


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "phi3", "qwen2"])
def test_tensors_come_back_in_the_checkpoints_form(
    family: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    biases = {"attention_bias": True} if family == "llama" else {}
    checkpoint = open_checkpoint(tiny_model(family, **biases))
    weights = GgufWeights(open_gguf(write(checkpoint, tmp_path / "a.gguf", "f32")), checkpoint)
    assert not weights.unmatched_artefact and not weights.unmatched_checkpoint
    for name in weights.matched:
        expected = to_float32(checkpoint.tensor(name))
        got = weights.tensor(name)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, atol=2e-7 if family == "gemma3_text" else 0)
    assert check(tmp_path / "a.gguf", checkpoint).failures == []


def test_values_that_the_config_states_survive_our_conversion(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": 1e6, "partial_rotary_factor": 1.0}
    source = tiny_model("glm", rope_parameters=rope, rms_norm_eps=1e-3, max_position_embeddings=512)
    checkpoint = open_checkpoint(source)
    file = write(checkpoint, tmp_path / "a.gguf", "f32")
    assert check(file, checkpoint).failures == []
    keys = open_gguf(file).keys
    assert keys["chatglm.rope.freq_base"] == 1e6
    assert keys["chatglm.attention.layer_norm_rms_epsilon"] == np.float32(1e-3)
    assert keys["chatglm.context_length"] == 512


def test_a_manifest_of_other_bytes_is_seen(checkpoint: Checkpoint, tmp_path: Path) -> None:
    from edgeconv.core.manifest import FileDigest

    from ..core import artifacts

    folder = tmp_path / "a"
    manifest = artifacts.make(folder).model_copy(update={"outputs": {"a.gguf": FileDigest(size=1, sha256="0" * 64)}})
    shutil.rmtree(folder)
    folder.mkdir()
    file = write(checkpoint, folder / "a.gguf", "q8_0")
    weights = GgufWeights(open_gguf(file), checkpoint)
    one = structure_gguf.check(file, manifest, checkpoint, weights, Silent())
    assert one.failures == ["a.gguf is not the file that the manifest records."]

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.checks import structure
from edgeconv.validate.report.model import Check
from edgeconv.validate.weights import ArtifactWeights

from .planted import copy_of, edit, replace

DOWN = "model.layers.4.mlp.down_proj.weight"
GATE_UP = "model.layers.4.mlp.gate_up_proj.weight"


@pytest.fixture(scope="module")
def checkpoint(builtin_model: Path) -> Checkpoint:
    return open_checkpoint(builtin_model)


@pytest.fixture
def copy(converted: Path, tmp_path: Path) -> Path:
    return copy_of(converted, tmp_path / "copy")


def check(folder: Path, checkpoint: Checkpoint) -> Check:
    return structure.check(folder, checkpoint, None, Silent())


def test_an_untouched_artifact_passes(converted: Path, checkpoint: Checkpoint) -> None:
    result = structure.check(converted, checkpoint, ArtifactWeights(converted, checkpoint), Silent())
    assert (result.status, result.failures, result.warnings) == ("passed", [], [])
    assert result.figures["weights"] == len(checkpoint.names)
    assert result.figures["rotary_tables"] == 1
    # the bound is tight: some element comes near to what is allowed, none passes it
    assert 0.9 < result.figures["worst_error"] <= 1
    assert "groups of 128" in result.summary


@pytest.mark.parametrize("precision", ["int8", "int4_asym", "bf16", "fp16", "fp32"])
def test_other_precisions_pass(precision: str, builtin_model: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    job = conversion.Job(str(builtin_model), Request(precision), output=tmp_path / "a", rope="fused")
    result = check(conversion.run(job, Silent()).path, checkpoint)
    assert (result.status, result.failures) == ("passed", [])
    assert (result.figures["worst_rms"] == 0) == (precision in ("bf16", "fp32"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["int3_sym", "int2_sym", "nf4", "fp4", "mxfp4", "nvfp4", "cb4", "fp8_e4m3", "mxfp8_e4m3", "int8_sym"]
)
def test_nncfs_precisions_pass(precision: str, builtin_model: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    result = check(
        conversion.run(conversion.Job(str(builtin_model), Request(precision), output=tmp_path / "a"), Silent()).path,
        checkpoint,
    )
    assert (result.status, result.failures) == ("passed", [])
    assert 0.9 < result.figures["worst_error"] <= 1


def swap_halves(data: np.ndarray) -> np.ndarray:
    return np.concatenate([data[len(data) // 2 :], data[: len(data) // 2]])


def swap_rows(columns: int) -> Callable[[np.ndarray], np.ndarray]:
    def swap(data: np.ndarray) -> np.ndarray:
        rows = data.reshape(-1, columns)
        rows[[10, 20]] = rows[[20, 10]]
        return rows.reshape(-1)

    return swap


FAULTS: dict[str, tuple[str, str, Callable[[np.ndarray], np.ndarray], str]] = {
    "values zeroed": (DOWN, "uint8", np.zeros_like, f"{DOWN} (i4 in groups of 128): all its values are zero"),
    "scales zeroed": (f"{DOWN}/scale", "float16", np.zeros_like, f"{DOWN} (i4 in groups of 128): all its values are zero"),
    "scales off by one group": (f"{DOWN}/scale", "float16", lambda s: np.roll(s, 1), DOWN),
    "one scale of one group doubled": (f"{DOWN}/scale", "float16", lambda s: np.append(s[:-1], s[-1:] * 2), DOWN),
    "all scales doubled": (f"{DOWN}/scale", "float16", lambda s: s * 2, DOWN),
    "gate and up swapped": (GATE_UP, "uint8", swap_halves, GATE_UP),
    "two rows swapped": (DOWN, "uint8", swap_rows(768 // 2), "in 2 of 256 rows"),
    "nibbles swapped": (DOWN, "uint8", lambda v: (v << 4) | (v >> 4), DOWN),
    "zero points off by one": ("model.embed_tokens.weight/zero_point", "uint8", lambda z: z + 1, "model.embed_tokens"),
    "a norm's weight changed": (
        "model.layers.1.input_layernorm.weight", "uint16", lambda v: np.append(v[:-1], v[-1:] ^ 1), "1.input_layernorm",
    ),
    "an infinite scale": (f"{DOWN}/scale", "uint16", lambda s: np.append(s[:-1], np.uint16(0x7C00)), "NaN or infinite"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_in_its_tensor(fault: str, copy: Path, checkpoint: Checkpoint) -> None:
    constant, dtype, change, expected = FAULTS[fault]
    edit(copy, constant, change, dtype)
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert result.figures["wrong"] == 1
    (failure,) = result.failures
    assert expected in failure


def test_two_layers_swapped_are_both_named_with_what_they_hold(copy: Path, checkpoint: Checkpoint) -> None:
    xml = copy / "openvino_model.xml"
    one, other = "model.layers.1.mlp.down_proj.weight", "model.layers.4.mlp.down_proj.weight"
    text = xml.read_text("utf-8")
    xml.write_text(text.replace(one, "@").replace(other, one).replace("@", other), "utf-8")
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert any(f.startswith(one) and f.endswith(f"It holds the values of {other}.") for f in result.failures)
    assert any(f.startswith(other) and f.endswith(f"It holds the values of {one}.") for f in result.failures)


@pytest.mark.parametrize("manifest", [True, False])
def test_a_truncated_bin_is_one_sentence(
    manifest: bool, converted: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = copy_of(converted, tmp_path / "a", manifest=manifest)
    size = (folder / "openvino_model.bin").stat().st_size
    with (folder / "openvino_model.bin").open("r+b") as file:
        file.truncate(size // 2)
    result = check(folder, checkpoint)
    assert result.status == "failed"
    assert any("openvino cannot read" in f and "openvino_model.xml" in f for f in result.failures)
    assert any("is not the file that the manifest records" in f for f in result.failures) is manifest
    assert all(len(f.splitlines()) == 1 for f in result.failures)


def test_the_manifests_digests_are_checked(converted: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_of(converted, tmp_path / "a", manifest=True)
    replace(folder / "chat_template.jinja", "<|user|>", "<|human|>")
    (folder / "added.txt").write_text("x")
    result = check(folder, checkpoint)
    assert result.failures == ["chat_template.jinja is not the file that the manifest records."]
    assert result.warnings == ["added.txt is not in the manifest."]


def test_missing_and_damaged_tokenizers(copy: Path, checkpoint: Checkpoint) -> None:
    (copy / "openvino_detokenizer.xml").unlink()
    (copy / "openvino_tokenizer.xml").write_text("<net")
    failures = check(copy, checkpoint).failures
    assert any("openvino_detokenizer.xml is missing" in f for f in failures)
    assert any("openvino cannot read openvino_tokenizer.xml" in f for f in failures)


def test_a_config_of_other_sizes(copy: Path, checkpoint: Checkpoint) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    assert check(copy, checkpoint).failures == ["config.json: num_hidden_layers is 5, in the checkpoint 6."]


def test_rotary_frequencies_of_another_base(
    converted: Path, checkpoint: Checkpoint, builtin_model: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(builtin_model, tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 1_000_000.0
    (source / "config.json").write_text(json.dumps(config | {"rope_theta": 1_000_000.0}))
    *stated, failure = check(converted, open_checkpoint(source)).failures
    assert all("config.json: rope" in other for other in stated)
    assert "rotary frequencies" in failure
    assert "theta 1e+06" in failure


def test_weights_of_another_checkpoint_fail_everywhere(converted: Path, builtin_model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors import torch as tensors

    source = shutil.copytree(builtin_model, tmp_path / "source")
    state = tensors.load_file(source / "model.safetensors")
    random = torch.Generator().manual_seed(0)
    state = {k: v[torch.randperm(len(v), generator=random)].contiguous() for k, v in state.items()}
    tensors.save_file(state, source / "model.safetensors", metadata={"format": "pt"})
    result = check(converted, open_checkpoint(source))
    assert result.status == "failed"
    assert result.figures["wrong"] == len(state)
    assert len(result.failures) == 6  # five in full, the rest counted


def test_a_tensor_without_a_counterpart_fails(converted: Path, builtin_model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors import torch as tensors

    source = shutil.copytree(builtin_model, tmp_path / "source")
    state = tensors.load_file(source / "model.safetensors")
    state["model.extra.weight"] = torch.ones(7, 9)
    state["model.extra_norm.weight"] = torch.ones(11)
    tensors.save_file(state, source / "model.safetensors", metadata={"format": "pt"})
    result = check(converted, open_checkpoint(source))
    assert result.failures == ["1 tensors of the checkpoint have no counterpart in the artifact: model.extra.weight."]
    assert any("model.extra_norm.weight" in w and "all ones" in w for w in result.warnings)


@pytest.fixture(scope="module")
def optimum_ir(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An IR that optimum-cli itself wrote: (checkpoint, artifact)."""
    source = tiny_model("llama", hidden_size=128, intermediate_size=256, head_dim=32)
    out = tmp_path_factory.mktemp("optimum")
    command = [str(Path(sys.executable).parent / "optimum-cli"), "export", "openvino", "--model", str(source)]
    options = ["--task", "text-generation-with-past", "--weight-format", "int4", "--group-size", "64"]
    subprocess.run([*command, *options, str(out)], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return source, out


@pytest.mark.slow
def test_an_ir_of_optimum_passes_and_its_faults_are_found(optimum_ir: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = optimum_ir
    checkpoint = open_checkpoint(source)
    result = check(out, checkpoint)
    assert (result.status, result.failures) == ("passed", [])
    assert result.figures["matched_by_content"] == result.figures["unmatched_artefact"] == 0
    assert result.figures["weights"] == len(checkpoint.names)
    assert result.figures["worst_error"] > 0.9
    folder = shutil.copytree(out, tmp_path / "a")
    name = "self.model.layers.1.self_attn.o_proj._openvino_orig_weight/scale"
    edit(folder, name, lambda s: np.roll(s, 1), "float16")
    (failure,) = check(folder, checkpoint).failures
    assert failure.startswith("model.layers.1.self_attn.o_proj.weight (u4 in groups of 64)")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma3_text", "phi3", "mistral"])
def test_other_families_pass_with_everything_matched(family: str, tiny_model: Any, tmp_path: Path) -> None:
    source = tiny_model(family)
    out = conversion.run(conversion.Job(str(source), Request("int8"), output=tmp_path / "a"), Silent()).path
    checkpoint = open_checkpoint(source)
    result = check(out, checkpoint)
    assert (result.status, result.failures) == ("passed", [])
    assert result.figures["unmatched_checkpoint"] == 0
    weights = ArtifactWeights(out, checkpoint)
    assert {m.form.function for ms in weights.matched.values() for m in ms} == (
        {"", "1 + w"} if family == "gemma3_text" else {""}
    )

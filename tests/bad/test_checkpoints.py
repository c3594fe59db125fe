"""Every bad checkpoint through all conversions: one message with file and next step, nothing left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .checkpoints import FAULTS, SHARD, Fault
from .commands import Bench

COMMANDS = {
    "openvino": ("openvino", "--precision", "int8", "--output", "out"),
    "onnx": ("onnx", "--precision", "int8", "--output", "out"),
    "gguf": ("gguf", "--type", "q8_0", "--output", "out"),
}
FAULTY = [pytest.param(fault, id=name, marks=pytest.mark.fault(fault.title)) for name, fault in FAULTS.items()]


@pytest.fixture
def source(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    """A sound checkpoint of several shards, to be spoilt."""
    return shutil.copytree(tiny_model("llama", max_shard_size="300KB"), tmp_path / "model")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTY)
def test_a_bad_checkpoint(fault: Fault, command: str, source: Path, bad: Bench) -> None:
    fault.maker(source)
    says = {"gguf": fault.gguf, "onnx": fault.onnx}.get(command, fault.says)
    bad.refused(*COMMANDS[command], "--model", source, says=says, names=fault.names, source=source)


@pytest.mark.parametrize("how", [("--engine", "trace"), ("--compressor", "nncf"), ("--precision", "bf16")], ids=str)
def test_what_is_no_number_is_found_on_every_way(how: tuple[str, str], source: Path, bad: Bench) -> None:
    FAULTS["weight_is_nan"].maker(source)
    says = rf"{SHARD}: model\.layers\.0\.mlp\.down_proj\.weight: The weights hold NaN"
    bad.refused(*COMMANDS["openvino"], *how, "--model", source, says=says, source=source)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_checkpoint_without_a_fault(command: str, source: Path, bad: Bench) -> None:
    ran = bad.run(*COMMANDS[command], "--model", source)
    assert ran.code == 0, ran.err
    assert [path.name for path in bad.work.iterdir()] == ["out"]

"""A checkpoint in files of torch.save opens like one in safetensors, and converts to the same bytes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeconv.convert.conversion import Job, plan, run
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError
from edgeconv.quantize.scheme import Request

INDEX = "pytorch_model.bin.index.json"


def pickled(source: Path, folder: Path) -> Path:
    """The same checkpoint with its shards saved by torch."""
    shutil.copytree(source, folder)
    for shard in sorted(folder.glob("*.safetensors")):
        torch.save(load_file(shard), folder / renamed(shard.name))
        shard.unlink()
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = {name: renamed(shard) for name, shard in content["weight_map"].items()}
    (folder / INDEX).write_text(json.dumps(content))
    index.unlink()
    return folder


def renamed(name: str) -> str:
    return name.replace("model-", "pytorch_model-").replace(".safetensors", ".bin")


@pytest.fixture
def source(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("llama", max_shard_size="300KB", dtype="float16")


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    return pickled(source, tmp_path / "pickled")


def test_the_same_tensors(source: Path, folder: Path) -> None:
    expected, found = open_checkpoint(source), open_checkpoint(folder)
    assert len(found.shards) > 1
    assert found.names == expected.names
    assert all(np.array_equal(found.tensor(name), expected.tensor(name)) for name in expected.names)


def test_the_same_conversion(source: Path, folder: Path, tmp_path: Path) -> None:
    request = Request("int4", group_size=32)
    made = [run(Job(str(path), request, output=tmp_path / f"out-{i}")) for i, path in enumerate((source, folder))]
    first, second = (artifact.path / "openvino_model.bin" for artifact in made)
    assert first.read_bytes() == second.read_bytes()
    assert {name for name in made[1].manifest.source.files if name.endswith(".bin")} == {
        path.name for path in folder.glob("*.bin")
    }
    assert plan(Job(str(folder), request, output=tmp_path / "new")).parameters == made[0].plan.as_dict()["parameters"]


def test_safetensors_come_first(source: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(source, tmp_path / "both")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert all(name.endswith(".safetensors") for name in open_checkpoint(folder).shards)


def test_a_lone_file(folder: Path) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(folder.glob("*.bin")):
        tensors |= torch.load(shard, weights_only=True)
        shard.unlink()
    (folder / INDEX).unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert open_checkpoint(folder).names == set(tensors)


def test_faults_are_found(folder: Path) -> None:
    first, second = sorted(folder.glob("*.bin"))[:2]
    whole = first.read_bytes()
    first.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=f"{first.name} is not a whole file of torch.save"):
        open_checkpoint(folder)
    first.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert "git lfs pull" in str(caught.value.hint)
    first.write_bytes(second.read_bytes())
    with pytest.raises(CheckpointError, match="is in both"):
        open_checkpoint(folder)
    first.unlink()
    with pytest.raises(CheckpointError, match=r"1 of .* shards are missing"):
        open_checkpoint(folder)
    first.write_bytes(whole)
    content = json.loads((folder / INDEX).read_text())
    content["weight_map"]["model.norm.weight"] = "../pytorch_model.bin"
    (folder / INDEX).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="names a shard that cannot be one"):
        open_checkpoint(folder)

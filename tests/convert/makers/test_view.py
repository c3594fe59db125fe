"""Checkpoints in their makers' form are the models of transformers that they are written from; no code of theirs runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.mapped_file import MappedFile, Spread, TensorInfo
from edgeconv.convert.open_checkpoint import open_checkpoint, open_headers
from edgeconv.core.errors import CheckpointError

from ...models import tiny_makers
from ...models.tiny_makers import KINDS, MUP


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def logits(folder: Path, ids: list[int], tensors: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    if tensors is None:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.load_state_dict(tensors, strict=not config.tie_word_embeddings)
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0]


def tensors_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(checkpoint.tensor(name))) for name in checkpoint.names}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_model_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = tiny_makers.make(kind, tmp_path / "theirs", native=tmp_path / "native")
    checkpoint = open_checkpoint(folder)
    assert checkpoint.model_type == KINDS[kind].native and checkpoint.origin == folder
    assert "auto_map" not in checkpoint.config
    ids = np.random.default_rng(1).integers(10, 1000, 300).tolist()
    assert torch.equal(logits(checkpoint.folder, ids, tensors_of(checkpoint)), logits(tmp_path / "native", ids))


def test_the_long_factors_of_minicpm_4_change_with_the_text(tmp_path: Path) -> None:
    """Where the original length is the whole one, its code begins with the short factors, as transformers does."""
    stated = {"rope_scaling": tiny_makers.LONG, "tie_word_embeddings": True}
    config = open_checkpoint(tiny_makers.make("minicpm", tmp_path / "m", **stated)).config
    assert config["rope_scaling"] == tiny_makers.LONG


def test_rows_of_groups_are_read_in_ranges(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_makers.make("internlm2", tmp_path / "m"))
    name = "model.layers.1.self_attn.q_proj.weight"
    info, whole = checkpoint.info(name), checkpoint.tensor(name)
    assert isinstance(info, Spread) and info.shape == whole.shape == (64, 64) and info.taken == 32
    for start, stop in ((0, 64), (0, 0), (5, 6), (31, 33), (32, 64), (40, 64), (64, 64)):
        assert np.array_equal(checkpoint.rows(name, start, stop), whole[start:stop])
    assert checkpoint.rows(name, 33, 60).base is not None  # of one group: a view
    checkpoint.release(name, 0, 64, 64)
    assert np.array_equal(checkpoint.tensor(name), whole)


def test_a_spread_tensor_of_another_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(64))
    file = MappedFile(tmp_path / "file", {})
    for info in (Spread("q", "I64", (2, 1), 0, 32, 1, 16), TensorInfo("q", "I64", (2, 1), 0, 16)):
        with pytest.raises(CheckpointError, match="q has the type I64"):
            file.rows(info, 0, 1)


def test_headers_are_enough_for_a_plan(tmp_path: Path) -> None:
    folder = tiny_makers.make("internlm2 with biases", tmp_path / "m")
    whole = open_checkpoint(folder)
    data = (folder / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    (folder / "model.safetensors").unlink()
    seen = open_headers(folder, {"model.safetensors": header}, {"model.safetensors": len(data)})
    assert {name: seen.info(name).shape for name in seen.names} == {n: whole.info(n).shape for n in whole.names}


def test_what_is_said(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_makers.make("internlm2", tmp_path / "m"))
    said = " ".join(checkpoint.notes)
    assert "is of InternLM2, whose own code is not run; it is converted as transformers' LlamaForCausalLM" in said
    assert "Right up to 512 positions" in said and "tie_word_embeddings = False" in said
    assert "rope_scaling" not in checkpoint.config


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("internlm2", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "own code knows default, linear, dynamic"),
        ("internlm2", {"rope_scaling": {"type": "dynamic", "factor": -2.0}}, r"rope_scaling.factor is -2.0"),
        ("internlm2", {"rope_scaling": "dynamic"}, "rope_scaling = 'dynamic'"),
        ("internlm2", {"num_key_value_heads": 3}, "do not divide each other"),
        ("internlm2", {"num_key_value_heads": 1}, r"wqkv.weight is \[128, 64\]; by config.json it should have 64 \+ 16 \+ 16"),
        ("internlm2", {"num_key_value_heads": 4}, r"should have 4 times 16 \+ 16 \+ 16 rows"),
        ("internlm2", {"hidden_size": None}, "hidden_size is None"),
        ("internlm3", {"bias": True}, "bias = true and qkv_bias = false"),
        ("minicpm", {"num_experts": 8}, "layers with experts"),
        ("minicpm", {"sparse_config": {"topk": 64}}, "leaves blocks of the text out"),
        ("minicpm", {"scale_depth": "1.4"}, "scale_depth is '1.4'"),
        ("minicpm", {"hidden_size": 66}, "not shared by 4 heads evenly"),
    ],
)  # fmt: skip
def test_what_is_refused(kind: str, fields: dict[str, Any], says: str, tmp_path: Path) -> None:
    folder = tiny_makers.make(kind, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))
    with pytest.raises(CheckpointError, match=says):
        open_checkpoint(folder)


def test_the_defaults_are_those_of_their_own_class(tmp_path: Path) -> None:
    folder = tiny_makers.make("minicpm", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key not in MUP}))
    seen = open_checkpoint(folder).config
    assert seen["logits_scaling"] == 64 and seen["embedding_multiplier"] == 1 and seen["tie_word_embeddings"] is True

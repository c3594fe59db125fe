"""Keys of a GGUF's architecture: what llama.cpp obeys is read, or the file is refused; llama.cpp's logits are the judge."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import registry
from edgeconv.convert.gguf_source.claimed import _HARMLESS, _KINDS, _OBEYED
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError

from ..gguf import llama_cpp
from ..gguf.samples import config, write_checkpoint, write_gguf
from .files import rewritten

IDS = list(range(3, 60))
HONORED: dict[str, dict[str, Any]] = {
    "the old name of the factor": {"rope.scale_linear": 4.0},
    "a factor without a type": {"rope.scaling.factor": 4.0},
    "a factor of 0 changes nothing": {"rope.scaling.factor": 0.0, "rope.scale_linear": 4.0},
    "a type that changes nothing": {"rope.scaling.type": "none", "rope.scaling.factor": 4.0},
    "yarn": {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0},
    "yarn, scaled": {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.attn_factor": 0.7},
}


def planted(source: Path, out: Path, arch: str, keys: dict[str, Any]) -> Path:
    return rewritten(source, out, {f"{arch}.{key}": value for key, value in keys.items()})


@pytest.mark.parametrize("name", HONORED)
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_the_model_is_the_one_that_llama_cpp_runs(
    name: str, kind: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    write_gguf(tiny_model(kind), tmp_path / "plain.gguf", "f32")
    file = planted(tmp_path / "plain.gguf", tmp_path / "a.gguf", kind, HONORED[name])
    seen = open_checkpoint(file)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(seen.folder), dtype=torch.float32).eval()
    model.load_state_dict({key: torch.from_numpy(np.array(seen.tensor(key))) for key in seen.names})
    with torch.no_grad():
        wanted = model(torch.tensor([IDS])).logits[0].numpy()
    found = llama_cpp.logits(file, IDS)
    assert np.abs(found - wanted).max() < 1e-3
    if "nothing" not in name:
        assert np.abs(found - llama_cpp.logits(tmp_path / "plain.gguf", IDS)).max() > 0.1  # llama.cpp obeys it


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_gguf(write_checkpoint(folder / "source", config()), folder / "a.gguf", "f32")
    return folder / "a.gguf"


ODD: dict[str, Any] = {
    "attention.causal": False,
    "classifier.output_labels": ["no", "yes"],
    "hidden_activation": "relu",
}
OTHERS = {"attention.value_length": 8, "expert_used_count": 2, "ssm.conv_kernel": 4, "dense_2_feat_in": 64,
          "rope.scaling.attn_factor": 0.5}  # fmt: skip


def test_each_key_that_llama_cpp_obeys_is_read_or_refused(small: Path, tmp_path: Path) -> None:
    for key in [*_OBEYED, *OTHERS]:
        value = ODD.get(key, OTHERS.get(key, 3 if key.endswith(("type", "count", "length", "window")) else 0.3))
        file = planted(small, tmp_path / "b.gguf", "llama", {key: value})
        with pytest.raises(CheckpointError, match=key.split(".")[-1].split("_")[0]):
            open_checkpoint(file)


def test_values_that_change_nothing_and_keys_that_nobody_knows(small: Path, tmp_path: Path) -> None:
    neutral = {key: values[0] for key, values in _OBEYED.items() if values and type(values[0]) is not bool}
    neutral |= {
        "attention.causal": True,
        "expert_count": 0,
        "rope.scaling.finetuned": False,
        "rope.scaling.attn_factor": 1.0,
    }
    assert len(open_checkpoint(planted(small, tmp_path / "b.gguf", "llama", neutral)).notes) == 1
    notes = open_checkpoint(planted(small, tmp_path / "c.gguf", "llama", {"my_company.stage": 3})).notes
    assert "llama.my_company.stage" in notes[1]


def test_experts_are_named_before_a_tensor_is_missed(small: Path, tmp_path: Path) -> None:
    file = planted(small, tmp_path / "b.gguf", "llama", {"expert_count": 8, "expert_used_count": 2})
    with pytest.raises(CheckpointError, match="mixture of 8 experts"):
        open_checkpoint(file)


def test_what_one_architecture_reads_another_refuses() -> None:
    reads = {key for family in registry.every() if family.gguf for key in family.gguf.reads}
    assert reads
    # the graphs of RMS norms never read the epsilon of LayerNorms
    assert all(key in _OBEYED or key in _HARMLESS or key.startswith(_KINDS) for key in reads)

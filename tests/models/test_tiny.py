import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from . import tiny


@pytest.mark.parametrize("model_type", tiny.FAMILIES)
def test_each_family_loads_whole_and_runs(model_type, tiny_model):
    folder = tiny_model(model_type)
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.model_type == model_type
    assert model.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size
    logits = model(**tokenizer("The capital of 日本", return_tensors="pt")).logits
    assert logits.isfinite().all()
    assert logits.std() > 0.1


def test_output_channels_differ_in_width(tiny_model):
    with safe_open(tiny_model("llama") / "model.safetensors", "pt") as file:
        widths = file.get_tensor("model.layers.0.mlp.down_proj.weight").float().std(dim=1)
    assert widths.max() > 3 * widths.min()


def test_shards_types_and_tied_embeddings(tiny_model):
    folder = tiny_model("qwen2", dtype="float16", max_shard_size="300KB", tie_word_embeddings=True)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) > 1
    assert "lm_head.weight" not in index["weight_map"]
    for shard in shards:
        with safe_open(folder / shard, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "float16"


def test_same_seed_same_bits(tmp_path, tiny_model):
    again = tiny.make("glm", tmp_path / "again")
    other = tiny.make("glm", tmp_path / "other", seed=1)
    first = (tiny_model("glm") / "model.safetensors").read_bytes()
    assert (again / "model.safetensors").read_bytes() == first
    assert (other / "model.safetensors").read_bytes() != first

"""The language model within a checkpoint that also sees: taken alone, with its own config, and said so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint

from ..models import tiny


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """transformers saves the text model under the names that it has inside the larger one."""
    return tiny.make("qwen3_5_text", tmp_path_factory.mktemp("alone") / "model", dtype="float32")


def test_names_are_those_of_a_text_model(alone: Path) -> None:
    names = open_checkpoint(alone).names
    assert "model.layers.0.linear_attn.A_log" in names
    assert not any("language_model" in name for name in names)


@pytest.mark.parametrize(("kind", "title"), [("gemma3n", "Gemma3n"), ("gemma4", "Gemma4")])
def test_a_whole_gemma_gives_its_text_model(kind: str, title: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from edgeconv.convert import conversion
    from edgeconv.quantize.scheme import Request

    text = tiny.make(f"{kind}_text", tmp_path / "text", dtype="float32")
    whole = tmp_path / "whole"
    whole.mkdir()
    for name in tiny.TOKENIZER_FILES:
        (whole / name).write_bytes((text / name).read_bytes())
    stated = {"model_type": kind, "architectures": [f"{title}ForConditionalGeneration"], "vision_config": {},
              "text_config": json.loads((text / "config.json").read_text())}  # fmt: skip
    (whole / "config.json").write_text(json.dumps(stated))
    extra = (
        "model.vision_tower.a.weight",
        "model.embed_audio.b.weight",
    )
    passed_over = "model.language_model.layers.3.self_attn.k_proj.weight"
    tensors = {
        name.replace("language_model.", "").replace("model.", "model.language_model.", 1): w
        for name, w in load_file(text / "model.safetensors").items()
    }
    more = {name: np.ones((2, 2), np.float32) for name in extra}
    save_file({passed_over: np.ones((2, 2), np.float32)} | tensors | more, whole / "model.safetensors")
    checkpoint = open_checkpoint(whole)
    assert checkpoint.config["tie_word_embeddings"]
    assert [note for note in checkpoint.notes if "its 2 tensors for pictures and sound are left out" in note]
    jobs = [conversion.OnnxJob(str(one), Request("fp32"), output=tmp_path / f"o{one.name}") for one in (text, whole)]
    alone, taken = ((conversion.run(job).path / "model.onnx_data").read_bytes() for job in jobs)
    assert alone == taken

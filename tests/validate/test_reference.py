"""The layered reference against the whole model of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.checkpoint import open_checkpoint
from edgeconv.core.errors import ConversionError
from edgeconv.core.progress import Silent
from edgeconv.validate.reference import LayeredReference, checkpoint_tensors

from ..models import tiny

DOCUMENTS = [np.random.default_rng(i).integers(5, 4000, n).tolist() for i, n in enumerate((60, 17, 130))]
FAMILIES = ("glm", "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma3_text")


def whole(folder: Path, dtype: str) -> list[np.ndarray]:
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation="sdpa").eval()
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0].float().numpy() for ids in DOCUMENTS]


def layered(folder: Path, dtype: str) -> list[np.ndarray]:
    model = LayeredReference(folder, checkpoint_tensors(open_checkpoint(folder)), dtype)
    head = model.head()
    return [head.logits(made) for made in model.hidden_states(DOCUMENTS, Silent(), "test")]


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-4), ("bfloat16", 0.0)])
def test_equals_the_whole_model(model_type: str, dtype: str, limit: float, tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model(model_type)
    for expected, made in zip(whole(folder, dtype), layered(folder, dtype), strict=True):
        assert np.abs(expected - made).max() <= limit


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [
        ("cohere", {"logit_scale": 0.25, "tie_word_embeddings": True}),
        ("granite", {"logits_scaling": 4.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5}),
    ],
)
def test_scaled_logits(
    model_type: str, fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny.FAMILIES, model_type, fields)
    folder = tiny.make(model_type, tmp_path)
    for expected, made in zip(whole(folder, "float32"), layered(folder, "float32"), strict=True):
        assert np.abs(expected - made).max() <= 1e-4
        assert np.abs(expected).max() > 0.01


def test_other_weights_give_other_logits(builtin_model: Path) -> None:
    checkpoint = open_checkpoint(builtin_model)
    plain = checkpoint_tensors(checkpoint)

    def zeroed(name: str):  # type: ignore[no-untyped-def]
        return plain(name) * 0 if name == "model.layers.3.mlp.down_proj.weight" else plain(name)

    before = LayeredReference(builtin_model, plain).hidden_states(DOCUMENTS[:1], Silent(), "test")[0]
    after = LayeredReference(builtin_model, zeroed).hidden_states(DOCUMENTS[:1], Silent(), "test")[0]
    assert np.abs(before - after).max() > 0.1


def test_only_one_layer_is_loaded_at_a_time(builtin_model: Path) -> None:
    checkpoint = open_checkpoint(builtin_model)
    model = LayeredReference(builtin_model, checkpoint_tensors(checkpoint))
    model.hidden_states(DOCUMENTS[:1], Silent(), "test")
    assert all(parameter.is_meta for parameter in model._shell.parameters())


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2}')
    with pytest.raises(ConversionError, match="layer by layer"):
        LayeredReference(tmp_path, lambda name: None)

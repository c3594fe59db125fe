"""The layered reference against the whole model of transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.native_config import read_config
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import ConversionError
from edgeconv.core.mended_models import mended
from edgeconv.core.progress import Silent
from edgeconv.validate import reference_shell, self_check
from edgeconv.validate.loaded_names import as_loaded
from edgeconv.validate.module_weights import checkpoint_tensors
from edgeconv.validate.peaks import HALF, judge
from edgeconv.validate.reference import LayeredReference
from edgeconv.validate.report.model import Check

from ..models import tiny

DOCUMENTS = [np.random.default_rng(i).integers(5, 4000, n).tolist() for i, n in enumerate((60, 17, 130))]
FAMILIES = ("glm", "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma3_text")


EVERY = sorted({*tiny.FAMILIES, *tiny.FURTHER})
ALONE = {
    "falcon_h1",
    "gemma3n_text",
    "gpt_oss",
    "granitemoehybrid",
    "lfm2",
    "lfm2_moe",
    "mamba2",
    "qwen3_5_text",
    "qwen3_next",
}
"""Whose documents cannot share a row."""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def whole(folder: Path, dtype: str, attention: str = "sdpa") -> list[np.ndarray]:
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, dtype)
    model = mended(AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation=attention).eval())
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0].float().numpy() for ids in DOCUMENTS]


def layered(folder: Path, dtype: str) -> list[np.ndarray]:
    model = LayeredReference(folder, checkpoint_tensors(as_loaded(open_checkpoint(folder))), dtype)
    head = model.head()
    return [head.logits(made) for made in model.hidden_states(DOCUMENTS, Silent(), "test")]


@pytest.mark.parametrize("model_type", EVERY)
def test_is_the_whole_model_in_plain_attention(model_type: str, tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model(model_type)
    for expected, made in zip(whole(folder, "float32", "eager"), layered(folder, "float32"), strict=True):
        assert np.abs(expected - made).max() <= 1e-4


@pytest.mark.parametrize("model_type", EVERY)
def test_the_self_check_passes(model_type: str, tiny_model: Callable[..., Path]) -> None:
    assert self_check.difference(read_config(tiny_model(model_type))) <= 1e-4


@pytest.mark.parametrize("model_type", EVERY)
def test_documents_in_one_row_are_what_each_is_alone(model_type: str, tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model(model_type)
    model = LayeredReference(folder, checkpoint_tensors(as_loaded(open_checkpoint(folder))))
    alone = model.hidden_states(DOCUMENTS, Silent(), "test")
    peaks = model.peaks
    if self_check.may_share(read_config(folder)):
        together = model.hidden_states(DOCUMENTS, Silent(), "test", row=256)
        for one, other in zip(alone, together, strict=True):
            assert np.abs(one - other).max() <= 1e-4 * max(1.0, float(np.abs(one).max()))
        assert np.allclose(peaks, model.peaks, rtol=1e-4)
    else:
        assert model_type in ALONE


def test_a_model_that_does_not_tell_documents_apart_runs_each_alone(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import masking_utils

    config = read_config(tiny_model("llama"))
    assert self_check.may_share(config)
    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda positions: None)
    assert not self_check.may_share(config)


@pytest.mark.parametrize("cap", [1.0, 50.0])
@pytest.mark.usefixtures("own_cache")
def test_the_self_check_finds_a_lost_cap(
    cap: float, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_shell, "attention_of", lambda model: "sdpa")
    folder = tiny_model("gemma2", attn_logit_softcapping=cap)
    with pytest.raises(ConversionError, match="The torch reference is not the model: of a small random gemma2"):
        self_check.require(folder)


@pytest.mark.usefixtures("own_cache")
def test_the_self_check_is_made_once(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_model("gemma2", attn_logit_softcapping=7.0)
    self_check.require(folder)
    monkeypatch.setattr(self_check, "difference", lambda config: pytest.fail("checked again"))
    self_check.require(folder)
    with pytest.raises(pytest.fail.Exception, match="checked again"):
        self_check.require(tiny_model("gemma2", attn_logit_softcapping=8.0))


def test_the_largest_activations(tiny_model: Callable[..., Path]) -> None:
    import torch

    folder = tiny_model("llama", dtype="float32")
    plain = checkpoint_tensors(open_checkpoint(folder))
    model = LayeredReference(folder, plain)
    model.hidden_states(DOCUMENTS, Silent(), "test")
    assert len(model.peaks) == model.depth
    assert 0 < max(model.peaks) < HALF
    factor = 2 * HALF / model.peaks[1]
    loud = LayeredReference(
        folder, lambda name: plain(name) * (factor if name == "model.layers.1.mlp.down_proj.weight" else 1)
    )
    loud.hidden_states(DOCUMENTS, Silent(), "test")
    assert loud.peaks[0] == model.peaks[0]
    assert loud.peaks[1] > HALF
    check = Check(name="logits", status="passed", summary="")
    assert judge(check, model.peaks, ["GPU"]).status == "passed"
    assert judge(check, loud.peaks, ["CPU"]).status == "passed"
    assert "float16 ends at 65,504" in judge(check, loud.peaks, ["CPU"]).warnings[0]
    for device in ("GPU", "GPU.1", "NPU"):
        failed = judge(check, loud.peaks, ["CPU", device])
        assert failed.status == "failed"
        assert "layer 1" in failed.failures[0]
    assert judge(check, [1.0, float("nan")], ["NPU"]).status == "failed"
    assert torch.isfinite(torch.tensor(model.peaks)).all()


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-4), ("bfloat16", 0.0)])
def test_equals_the_whole_model(model_type: str, dtype: str, limit: float, tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model(model_type)
    for expected, made in zip(whole(folder, dtype), layered(folder, dtype), strict=True):
        assert np.abs(expected - made).max() <= limit


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
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert-generation", **sizes}))
    with pytest.raises(ConversionError, match="layer by layer"):
        LayeredReference(tmp_path, lambda name: None)

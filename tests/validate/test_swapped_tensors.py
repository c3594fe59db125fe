"""Biases of one shape that changed places, and one that nobody has. The structure check names them.

What lies inside experts and states is planted by `test_planted_inner`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.loaded_names import as_loaded
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Check

from ..convert.gguf_source.files import rewritten
from .gguf_files import edit_weights, write

pytestmark = pytest.mark.slow
Tensors = dict[str, Any]


def openvino(source: Path, out: Path) -> Path:
    job = conversion.Job(str(source), Request("bf16"), output=out, smoke_test=False)
    return conversion.run(job, Silent()).path


def onnx_model(source: Path, out: Path) -> Path:
    return conversion.run(conversion.OnnxJob(str(source), Request("fp32"), output=out, smoke_test=False)).path


def gguf(source: Path, out: Path) -> Path:
    return write(source, out.with_suffix(".gguf"), "f32")


def structure(artifact: Path, reference: Path) -> Check:
    checkpoint, opened = as_loaded(open_checkpoint(reference)), open_artifact(artifact)
    return opened.structure(checkpoint, opened.weights(checkpoint), Silent())


def spoilt(source: Path, to: Path, change: Callable[[Tensors], None]) -> Path:
    folder = shutil.copytree(source, to)
    edit_weights(folder, change)
    return folder


def swapped(one: str, other: str) -> Callable[[Tensors], None]:
    """Exchange two tensors of one shape, which must differ."""

    def change(tensors: Tensors) -> None:
        assert tensors[one].shape == tensors[other].shape
        assert (tensors[one] != tensors[other]).any()
        tensors[one], tensors[other] = tensors[other].clone(), tensors[one].clone()

    return change


def filled(tensors: Tensors) -> None:
    """Give every bias values: those of a new model are zeros, and nothing tells one zero from another."""
    import torch

    random = torch.Generator().manual_seed(5)
    for name, tensor in tensors.items():
        if name.endswith("_proj.bias"):
            tensors[name] = torch.randn(tensor.shape, generator=random).to(tensor.dtype)


ATTENTION = "model.layers.0.self_attn"


@pytest.mark.parametrize("convert", [openvino, onnx_model, gguf])
def test_biases_of_q_and_k(
    convert: Callable[[Path, Path], Path], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = spoilt(tiny_model("qwen2", num_key_value_heads=4), tmp_path / "source", filled)
    wrong = spoilt(source, tmp_path / "wrong", swapped(f"{ATTENTION}.q_proj.bias", f"{ATTENTION}.k_proj.bias"))
    assert structure(convert(source, tmp_path / "sound"), source).failures == []
    failures = structure(convert(wrong, tmp_path / "out"), source).failures
    assert any("q_proj.bias" in said for said in failures), failures
    assert any("k_proj.bias" in said for said in failures), failures


def test_a_bias_that_the_checkpoint_has_not_fails_a_quick_validation(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp computes with every tensor that it knows."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    source = tiny_model("llama")
    sound = gguf(source, tmp_path / "sound")
    width = open_checkpoint(source).info(f"{ATTENTION}.q_proj.weight").shape[0]
    bias = np.random.default_rng(3).standard_normal(width).astype(np.float32)
    out = rewritten(sound, tmp_path / "out.gguf", tensors={"blk.0.attn_q.bias": bias})
    report = validate(Ask(out, reference=str(source), max_tokens=100, quick=True))
    assert report.first_failed == "structure"
    failures = report.rungs[0].failures
    assert any("blk.0.attn_q.bias" in said and "computes with every tensor" in said for said in failures), failures
    conversion = next(line for line in report.budgets if line.metric == "conversion.max_abs_logit")
    assert not conversion.passed, "llama.cpp adds it"

"""The device's defaults where an answer is made: from the cache, token by token."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv import pipeline
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.ladder import Ask, validate
from edgeconv.validate.report.model import Report
from edgeconv.validate.runtimes import openvino

from .test_planted_faults import edit_tensors

OUTLIER = 100.0


def climb(source: Path, out: Path) -> Report:
    made = pipeline.run(pipeline.Job(str(source), Request("bf16"), output=out), Silent()).path
    return validate(Ask(made, reference=str(source), max_tokens=800))


def lines(report: Report) -> dict[str, bool]:
    return {line.metric: line.passed for line in report.budgets if line.metric.startswith("runtime")}


def test_a_cache_in_8_bits_that_spoils_the_answers_is_seen(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outliers in the keys' bias (Qwen2's real ones have them) take the cache's 256 steps away from all other channels."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    # what every CPU does by default; some compute in bfloat16 too, which a prefill shows as well
    monkeypatch.setattr(openvino, "DEFAULTS", {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "u8"})
    good = tiny_model("qwen2")
    spoilt = shutil.copytree(good, tmp_path / "model")

    def outliers(tensors: dict) -> None:
        for name, tensor in tensors.items():
            if name.endswith("k_proj.bias"):
                tensor[3::16] = OUTLIER

    edit_tensors(spoilt, outliers)
    sound, report = climb(good, tmp_path / "sound"), climb(spoilt, tmp_path / "out")
    assert lines(sound) == {"runtime.mean_kl": True, "runtime_decode.mean_kl": True}
    assert report.verdict == "failed"
    assert report.first_failed == "budget"
    assert lines(report)["runtime.mean_kl"], "a prefill shows nothing of it"
    assert not lines(report)["runtime_decode.mean_kl"]
    assert all(rung.status == "passed" for rung in report.rungs), "nothing but the defaults is wrong with it"

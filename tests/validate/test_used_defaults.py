"""The device's defaults where an answer is made: from the cache, token by token."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes import openvino
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from .test_planted_faults import edit_tensors

OUTLIER = 100.0


def climb(source: Path, out: Path, request: Request = Request("bf16")) -> Report:
    made = conversion.run(conversion.Job(str(source), request, output=out), Silent()).path
    return validate(Ask(made, reference=str(source), max_tokens=800))


def with_outliers(good: Path, folder: Path) -> Path:
    """Copy a checkpoint whose keys have a bias; one channel of 16 gets a large one."""

    def outliers(tensors: dict) -> None:
        for name, tensor in tensors.items():
            if name.endswith("k_proj.bias"):
                tensor[3::16] = OUTLIER

    edit_tensors(shutil.copytree(good, folder), outliers)
    return folder


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
    spoilt = with_outliers(good, tmp_path / "model")
    sound, report = climb(good, tmp_path / "sound"), climb(spoilt, tmp_path / "out")
    assert lines(sound) == {"runtime.mean_kl": True, "runtime_decode.mean_kl": True}
    assert report.verdict == "failed"
    assert report.first_failed == "budget"
    assert lines(report)["runtime.mean_kl"], "a prefill shows nothing of it"
    assert not lines(report)["runtime_decode.mean_kl"]
    assert all(check.status == "passed" for check in report.rungs), "nothing but the defaults is wrong with it"


def test_keys_with_a_bias_ask_for_a_cache_that_holds_them(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same outliers, compressed: by default the IR asks for float16, and a device that is asked for nothing else obeys."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(openvino, "DEFAULTS", {"INFERENCE_PRECISION_HINT": "f32"})
    spoilt = with_outliers(tiny_model("qwen2"), tmp_path / "model")
    kept = climb(spoilt, tmp_path / "kept", Request("int8"))
    left = climb(spoilt, tmp_path / "left", Request("int8", kv_cache="device"))
    assert lines(kept)["runtime_decode.mean_kl"]
    assert not lines(left)["runtime_decode.mean_kl"]


@pytest.mark.parametrize(
    ("kind", "asked", "told"),
    [("qwen2", None, "f16"), ("qwen2", "device", None), ("llama", None, None), ("llama", "f16", "f16")],
)
def test_what_an_ir_asks_of_the_cache(
    kind: str, asked: str | None, told: str | None, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    import openvino as ov

    job = conversion.Job(str(tiny_model(kind)), Request("int8", kv_cache=asked), output=tmp_path / "out")
    made = conversion.run(job, Silent())
    model = ov.Core().read_model(made.path / "openvino_model.xml")
    path = ["runtime_options", "KV_CACHE_PRECISION"]
    assert (model.get_rt_info(path).astype(str) if model.has_rt_info(path) else None) == told
    assert made.manifest.scheme.get("kv_cache") == (asked or told)

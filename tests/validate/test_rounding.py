"""Float artifacts where something rounds: held to what bfloat16 does to the model itself, and still to no more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate import budget
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from .gguf_files import edit_weights
from .test_budget import comparison


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def climb(source: Path, out: Path, precision: str, dtype: str = "float32") -> Report:
    made = conversion.run(conversion.Job(str(source), Request(precision), output=out), Silent()).path
    return validate(Ask(made, reference=str(source), max_tokens=1500, quick=True, reference_dtype=dtype))


@pytest.mark.parametrize(
    ("stored", "precision", "dtype"),
    [("float32", "bf16", "float32"), ("float32", "fp16", "float32"), ("bfloat16", "fp16", "bfloat16")],
)
def test_rounding_alone_is_no_fault(
    stored: str, precision: str, dtype: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model("qwen3", dtype=stored)
    if stored == "float32":  # of random weights in bfloat16, which float32 holds, nothing would be rounded
        source = shutil.copytree(source, tmp_path / "model")
        edit_weights(source, lambda tensors: [t.mul_(1.0001) for t in tensors.values()] and None)
    report = climb(source, tmp_path / "out", precision, dtype)
    assert report.verdict == "passed", [line for line in report.budgets if not line.passed]
    lines = {line.metric: line for line in report.budgets}
    assert lines["quantisation.mean_kl"].limit < 0.01
    assert {c.name for c in report.comparisons} == {"noise_floor", "conversion", "quantisation"}


def test_what_rounds_nothing_is_held_to_the_strict_limits(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    report = climb(tiny_model("qwen3"), tmp_path / "out", "bf16")
    lines = {line.metric: line for line in report.budgets}
    assert report.verdict == "passed"
    assert (lines["quantisation.mean_kl"].limit, lines["quantisation.top1"].limit) == (1e-4, 0.99)


def test_limits_follow_the_noise_and_are_never_narrower() -> None:
    table = budget.table("bf16", 1)
    for kl, top1, wide in ((1e-3, 0.98, (2e-3, 0.96)), (1e-7, 1.0, (1e-4, 0.99))):
        made = budget.rounded(table, comparison("noise_floor", mean_kl=kl, top1=top1))
        limits = {b.metric: b.limit for b in made if b.comparison == "quantisation"}
        assert (limits["mean_kl"], limits["top1"]) == pytest.approx(wide)
    eight = budget.table("int8_sym", 1)
    assert budget.rounded(eight, comparison("noise_floor", mean_kl=1.0, top1=0.1)) == eight

"""Which points are on the front, what happens to points that do not work, and that measured ones are kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.study.frontier import picture, report
from edgeconv.study.frontier.run import run
from edgeconv.study.options import FrontierOptions
from edgeconv.study.points import Point
from edgeconv.study.trial import Bench

KNOWN = {
    "int8": (100, 0.001), "int4_asym": (60, 0.05), "q8_0": (104, 0.0005), "q4_0": (62, 0.09), "q4_k_m": (61, 0.02)
}  # fmt: skip


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Stands in for conversion and measurement; the points that it was asked for."""
    seen: list[str] = []

    def make(_: Bench, point: Point) -> dict[str, Any]:
        if point.head not in KNOWN:
            raise UsageError(f"{point.head} does not fit.")
        seen.append(point.head)
        size, kl = KNOWN[point.head]
        estimate = {"value": kl, "low": kl / 2, "high": kl * 2}
        return {"bytes": size * 10**6, "bits_per_weight": 4.5, "mean_kl": estimate, "top1": {"value": 0.9}}

    monkeypatch.setattr(Bench, "_made", make)
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    return seen


def test_fronts_and_what_is_kept(made: list[str], tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    model = str(tiny_model("llama"))
    first = run(FrontierOptions(model=model, points=("int8", "q4_0")))
    found = run(FrontierOptions(model=model, points=(*KNOWN, "q6_k")))
    assert made == ["int8", "q4_0", "int4_asym", "q8_0", "q4_k_m"]  # none of them twice
    assert {p.label: p.mean_kl for p in first.points}.items() <= {p.label: p.mean_kl for p in found.points}.items()
    assert [p.label for p in found.points] == ["int4_asym", "q4_k_m", "q4_0", "int8", "q8_0"]
    assert [p.label for p in found.points if p.front] == ["int4_asym", "q4_k_m", "int8", "q8_0"]
    assert found.left_out == {"gguf q6_k": "q6_k does not fit."}
    drawn = str(picture.draw(found))
    assert (drawn.count('class="one"'), drawn.count('class="two"')) == (3, 4)  # points and legend
    assert drawn.count('<circle class="ring"') == 5
    for _ in range(2):  # the second time over its own files
        report.write(found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(report.FILES)
    page = (tmp_path / "out" / "frontier.html").read_text()
    assert "q6_k was left out" in page
    assert "<script" not in page


def test_formats_have_fronts_of_their_own(tiny_model: Callable[..., Path]) -> None:
    found = run(FrontierOptions(model=str(tiny_model("llama")), points=("int8", "onnx/int4_asym", "onnx/int8", "q4_0")))
    assert [(p.format, p.label, p.own_front) for p in found.points if p.format != "gguf"] == [
        ("onnx", "int4_asym", True), ("openvino", "int8", True), ("onnx", "int8", True),
    ]  # fmt: skip
    drawn = str(picture.draw(found))
    assert (drawn.count('class="one"'), drawn.count('class="three"')) == (2, 3)  # points and legend
    assert drawn.count('class="front-three"') == 2


def test_no_point_that_works(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="does not fit"):
        run(FrontierOptions(model=str(tiny_model("llama")), points=("q6_k",)))

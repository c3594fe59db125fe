"""NNCF's statistics of a calibration text: kept for every scheme, whole or not at all, in a graph whose names do not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import families
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import data_aware, stream, trace
from edgeconv.convert.openvino.data_aware import Calibration
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, Scheme, resolve

Make = Callable[..., Path]
WORDS = [[int(word) for word in np.random.default_rng(seed).integers(0, 4000, 24)] for seed in range(3)]
TEXT = Calibration("words", "", WORDS, weights="weights")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


class Heard(Silent):
    """Remembers how many units each step had."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    def task(self, description: str, total: int | None = None) -> Any:
        self.steps[description] = 0
        heard = self

        class Step:
            def advance(self, amount: int) -> None:
                heard.steps[description] += amount

            def finish(self) -> None: ...

        return Step()


def scheme(**options: Any) -> Scheme:
    return resolve(Request("int4_sym", group_size=32, calibration="words", **options))


def streamed(model: Path, out: Path, chosen: Scheme) -> tuple[bytes, dict[str, int]]:
    out.mkdir()
    checkpoint, heard = open_checkpoint(model), Heard()
    stream.export(checkpoint, families.decoder(checkpoint.config), chosen, out, calibration=TEXT, progress=heard)
    return (out / "openvino_model.bin").read_bytes(), heard.steps


def test_statistics_serve_the_next_scheme_and_a_crash_leaves_none(
    tiny_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nncf.common.tensor_statistics import aggregator

    model = tiny_model("glm")
    written = aggregator.dump_statistics

    def half(statistics: Any, *rest: Any) -> None:
        written(dict(list(statistics.items())[:2]), *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(aggregator, "dump_statistics", half)
        with pytest.raises(KeyboardInterrupt):
            streamed(model, tmp_path / "a", scheme(gptq=True))
    assert not data_aware.entries()

    first, steps = streamed(model, tmp_path / "b", scheme(gptq=True))
    assert steps["Measuring activations"] == 3
    assert steps["GPTQ"] > 4
    (entry,) = data_aware.entries()
    assert entry.inputs > 4
    assert entry.size > 1000
    again, steps = streamed(model, tmp_path / "c", scheme(gptq=True))
    assert "Measuring activations" not in steps
    assert again == first
    other, steps = streamed(model, tmp_path / "d", scheme(scale_estimation=True, ratio=0.5))
    assert "Measuring activations" not in steps
    assert other != first
    assert data_aware.entries() == [entry]


def test_what_was_measured_is_told_apart() -> None:
    other = [
        Calibration("words", "", WORDS[:2], weights="weights"),
        Calibration("words", "", WORDS, weights="other weights"),
        Calibration("words", "pictures", WORDS, weights="weights", embed=lambda _: np.zeros((24, 8), np.float32)),
    ]
    keys = {TEXT.key("stream a"), TEXT.key("stream b"), *(one.key("stream a") for one in other)}
    assert len(keys) == 5
    assert Calibration("renamed", "", WORDS, weights="weights").key("stream a") == TEXT.key("stream a")


def test_a_traced_graph_is_measured_too(tiny_model: Make, tmp_path: Path) -> None:
    checkpoint, heard = open_checkpoint(tiny_model("llama")), Heard()
    trace.export(checkpoint, scheme(awq=True), tmp_path, calibration=TEXT, progress=heard)
    assert heard.steps["Measuring activations"] == 3
    assert heard.steps["AWQ"] == 2
    text = (tmp_path / "openvino_model.xml").read_text("utf-8")
    assert '<awq value="True"' in text

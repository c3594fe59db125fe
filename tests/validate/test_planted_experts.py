"""Faults that a graph of experts can have, planted where graphs are built: `validate` names what departs, in each format.

Faults of their weights are planted in test_planted_inner.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.families import granitemoe, qwen3_moe
from edgeconv.convert.onnx.ops import Graph
from edgeconv.convert.openvino.stream_layers import Layers
from edgeconv.convert.program.experts import Experts
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate

JOBS: dict[str, Any] = {"openvino": conversion.Job, "onnx": conversion.OnnxJob}
FAR = -1e4
"""A score beside which no other counts."""


def not_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chosen experts' scores keep the sum that they have among all."""
    sound = qwen3_moe.FAMILY.details

    def details(read: Any, decoder: Any) -> Any:
        made = sound(read, decoder)
        return replace(made, experts=tuple(replace(one, normalized=False) for one in made.experts))

    monkeypatch.setattr(qwen3_moe, "FAMILY", replace(qwen3_moe.FAMILY, details=details))


def softmax_before_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The softmax of all scores is taken, and not divided by the sum of the chosen."""
    sound = granitemoe.FAMILY.details

    def details(read: Any, decoder: Any) -> Any:
        made = sound(read, decoder)
        return replace(made, experts=tuple(replace(one, late=False, normalized=False) for one in made.experts))

    monkeypatch.setattr(granitemoe, "FAMILY", replace(granitemoe.FAMILY, details=details))


def no_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sinks are there, and never taken."""
    attend, vector = Layers._sinking, Graph.vector

    def lowered(self: Any, *arguments: Any, sinks: str, **options: Any) -> Any:
        kept = self.weights
        self.weights = lambda name: (
            self.ops.add(kept(name), self.ops.constant(FAR, np.float32)) if name == sinks else kept(name)
        )
        try:
            return attend(self, *arguments, sinks=sinks, **options)
        finally:
            self.weights = kept

    def far(self: Any, name: str) -> Any:
        held = vector(self, name)
        return self.op("Add", held, self.f32(FAR)) if name.endswith("sinks") else held

    monkeypatch.setattr(Layers, "_sinking", lowered)
    monkeypatch.setattr(Graph, "vector", far)


def another_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gate and up are cut off far too early."""
    sound = Experts.__post_init__

    def lower(self: Experts) -> None:
        sound(self)
        if self.limit:
            object.__setattr__(self, "limit", 0.5)

    monkeypatch.setattr(Experts, "__post_init__", lower)


FAULTS: dict[Callable[[pytest.MonkeyPatch], None], str] = {
    not_normalized: "qwen3_moe",
    softmax_before_choice: "granitemoe",
    no_sinks: "gpt_oss",
    another_limit: "gpt_oss",
}


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_the_graph(
    fault: Callable[[pytest.MonkeyPatch], None],
    kind: str,
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    source = tiny_model(FAULTS[fault])
    with monkeypatch.context() as planted:
        fault(planted)
        job = JOBS[kind](str(source), Request("fp32"), output=tmp_path / "out", smoke_test=False)
        out = conversion.run(job, Silent()).path
    report = validate(Ask(out, reference=str(source), max_tokens=300, quick=True))
    wrong = {line.metric for line in report.budgets if not line.passed}
    assert report.verdict == "failed"
    assert any(metric.startswith("conversion") for metric in wrong), wrong

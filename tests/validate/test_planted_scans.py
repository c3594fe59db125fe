"""Faults of scans, planted in each format: caught by the check that one would expect; without one it passes.

A graph computes something else than the checkpoint's weights say; of a GGUF the graph is llama.cpp's, and the file is at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import gguf_held
from edgeconv.convert.gguf import write
from edgeconv.convert.gguf.model import KERNELS
from edgeconv.convert.onnx.layers import Layers as Onnx
from edgeconv.convert.openvino.stream_layers import Layers as OpenVINO
from edgeconv.convert.program.scan import Scan

from ..exact_artifacts import FORMATS, convert, failed, planted
from ..models import tiny
from .test_planted_states import TOKENS, assert_a_prefill_is_right, climb, growing_state, shifted_state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        fields = {"num_hidden_layers": 2, "layer_types": ["mamba", "attention"], "num_local_experts": 0}
        yield tiny.make("granitemoehybrid", tmp_path_factory.mktemp("source") / "model", dtype="float32", **fields)


def _rows_of(patch: pytest.MonkeyPatch, end: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    rows = write._rows

    def changed(checkpoint: Any, placed: Any, start: int, stop: int) -> np.ndarray:
        made = rows(checkpoint, placed, start, stop)
        return change(made) if placed.tensor.name.endswith(end) else made

    patch.setattr(write, "_rows", changed)


def no_bias_of_steps(patch: pytest.MonkeyPatch) -> None:
    """Steps are positive, and that is all; the bias stays in the graph."""
    softplus = (
        lambda self, whole: self.ops.softplus(whole),
        lambda self, whole: self.graph.op("Softplus", whole),
    )
    for kind, positive in zip((OpenVINO, Onnx), softplus, strict=True):
        added = kind.add_stored

        def steps(self: Any, states: Any, bias: str, limits: Any = None, positive=positive, added=added) -> Any:
            stays = self.scale(added(self, self.scale(states, 0.0), bias), 0.0)
            return positive(self, self.add(states, stays))

        patch.setattr(kind, "steps", steps)
    _rows_of(patch, "ssm_dt.bias", np.zeros_like)


def no_skip(patch: pytest.MonkeyPatch) -> None:
    """What is scanned does not go around the state (D)."""
    for kind in (OpenVINO, Onnx):
        each = kind.multiply_each
        patch.setattr(
            kind, "multiply_each", lambda self, states, name, each=each: self.scale(each(self, states, name), 0.0)
        )
    _rows_of(patch, "ssm_d", np.zeros_like)


def norm_in_front_of_the_gate(patch: pytest.MonkeyPatch) -> None:
    """In a file the norm's weights are turned about, for llama.cpp's graph has the gate where it is."""

    def gated(self: Scan, ops: Any, made: Any, gate: Any, prefix: str) -> Any:
        return ops.multiply(self._normed(ops, made, prefix), ops.activate(gate, "silu"))

    patch.setattr(Scan, "_gated", gated)
    _rows_of(patch, "ssm_norm.weight", lambda made: made[:, ::-1].copy())


def vectors_exchanged(patch: pytest.MonkeyPatch) -> None:
    """A head is read by what it should be written by, and the other way round."""
    for kind in (OpenVINO, Onnx):
        scan = kind.scan
        patch.setattr(
            kind, "scan", lambda self, query, key, value, scan=scan, **how: scan(self, key, query, value, **how)
        )

    def exchanged(made: np.ndarray) -> np.ndarray:
        return np.concatenate([made[:-32], made[-16:], made[-32:-16]])  # 16 wide, behind the values

    _rows_of(patch, KERNELS[0], exchanged)


CAUGHT: dict[Callable[[pytest.MonkeyPatch], None], str] = {
    shifted_state: "decode",
    growing_state: "logits",
    no_bias_of_steps: "logits",
    no_skip: "logits",
    norm_in_front_of_the_gate: "logits",
    vectors_exchanged: "logits",
}
"""What catches it in a graph; in a file, whose weights are held against the checkpoint, the structure does."""


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("fault", CAUGHT, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught(
    fault: Callable[[pytest.MonkeyPatch], None], format_: str, source: Path, tmp_path: Path
) -> None:
    report = planted(fault, source, tmp_path / "out", format_, max_tokens=TOKENS)
    assert report.verdict == "failed"
    assert ("structure" if format_ == "gguf" else CAUGHT[fault]) in failed(report)
    if fault is shifted_state and format_ != "gguf":
        assert_a_prefill_is_right(report)


@pytest.mark.parametrize("format_", FORMATS)
def test_without_a_fault_it_passes(format_: str, source: Path, tmp_path: Path) -> None:
    report = climb(convert(source, tmp_path / "out", format_), source)
    assert failed(report) == set()
    assert report.verdict != "failed"


def test_held_rates_are_those_of_the_checkpoint() -> None:
    rates = np.array([[0.5], [-1.0]], np.float32)
    held = gguf_held.Held(decays=True, lies=(2, 1))
    np.testing.assert_allclose(held.undo(held.apply(rates)), rates, rtol=1e-6)

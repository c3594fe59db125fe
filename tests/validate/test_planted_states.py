"""Faults of layers that keep states, planted in each format: caught by the check that one would expect; without one it passes."""

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
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from ..exact_artifacts import FORMATS, convert, failed, planted
from ..models import tiny

pytestmark = pytest.mark.slow
TOKENS = 400


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        fields = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
        yield tiny.make("qwen3_5_text", tmp_path_factory.mktemp("source") / "model", dtype="float32", **fields)


def climb(artifact: Path, source: Path) -> Report:
    return validate(Ask(artifact, reference=str(source), max_tokens=TOKENS))


def shifted_state(patch: pytest.MonkeyPatch) -> None:
    """A convolution reads what it kept one position off; a kernel that lies one off is the same in a file."""
    openvino, onnx, rows = OpenVINO._past, Onnx._past, write._rows

    def of_openvino(self: OpenVINO, state: Any) -> Any:
        past, order = openvino(self, state), np.roll(np.arange(state.shape[-1]), 1)
        return past if state.kind != "conv" else self.ops.gather(past, self.i64(order), self.i64(2))

    def of_onnx(self: Onnx, state: Any) -> Any:
        past, order = onnx(self, state), np.roll(np.arange(state.shape[-1]), 1)
        return past if state.kind != "conv" else self.graph.op("Gather", past, self.graph.i64(order), axis=2)

    def of_gguf(checkpoint: Any, placed: Any, start: int, stop: int) -> np.ndarray:
        made = rows(checkpoint, placed, start, stop)
        return np.roll(made, 1, 1) if placed.tensor.name.endswith(KERNELS) else made

    patch.setattr(OpenVINO, "_past", of_openvino)
    patch.setattr(Onnx, "_past", of_onnx)
    patch.setattr(write, "_rows", of_gguf)


def growing_state(patch: pytest.MonkeyPatch) -> None:
    """The sign of the rate of decay is wrong: what should fade grows."""
    openvino, onnx, apply = OpenVINO.decay, Onnx.decay, gguf_held.Held.apply

    def of_openvino(self: OpenVINO, *arguments: Any) -> Any:
        return self.negative(openvino(self, *arguments))

    def of_onnx(self: Onnx, *arguments: Any) -> Any:
        return self.graph.op("Neg", onnx(self, *arguments))

    def of_gguf(self: gguf_held.Held, values: np.ndarray, first: int = 0) -> np.ndarray:
        return -apply(self, values, first) if self.decays else values

    patch.setattr(OpenVINO, "decay", of_openvino)
    patch.setattr(Onnx, "decay", of_onnx)
    patch.setattr(gguf_held.Held, "apply", of_gguf)


def assert_a_prefill_is_right(report: Report) -> None:
    """What a cache holds is read in later calls alone."""
    assert next(line for line in report.budgets if line.metric == "conversion.max_abs_logit").passed


CAUGHT: dict[Callable[[pytest.MonkeyPatch], None], tuple[str, str]] = {
    # in a graph, and in a file, whose weights are held against the checkpoint
    shifted_state: ("decode", "structure"),
    growing_state: ("logits", "structure"),
}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("fault", CAUGHT, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught(
    fault: Callable[[pytest.MonkeyPatch], None], format_: str, source: Path, tmp_path: Path
) -> None:
    report = planted(fault, source, tmp_path / "out", format_, max_tokens=TOKENS)
    assert report.verdict == "failed"
    assert CAUGHT[fault][format_ == "gguf"] in failed(report)
    if fault is shifted_state and format_ != "gguf":
        assert_a_prefill_is_right(report)


@pytest.mark.parametrize("format_", FORMATS)
def test_without_a_fault_it_passes(format_: str, source: Path, tmp_path: Path) -> None:
    report = climb(convert(source, tmp_path / "out", format_), source)
    assert failed(report) == set()
    assert report.verdict != "failed"

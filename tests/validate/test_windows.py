"""The sliding window of a graph beside the config's: one that is wider than any probe is long is seen in the graph alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.checkpoint import open_checkpoint
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.core.progress import Silent
from edgeconv.pipeline import onnx
from edgeconv.pipeline.openvino import Job, run
from edgeconv.quantize.scheme import Request
from edgeconv.validate.formats import open_artefact
from edgeconv.validate.report.model import Rung
from edgeconv.validate.rungs import windows
from edgeconv.validate.rungs.weights import Findings

from .gguf_files import set_key, write

WIDE, WIDER = 8192, 16384
OPTIONS = {"sliding_window": WIDE, "max_position_embeddings": 32768}


def graph(a: int, b: int, attribute: int | None = None) -> Any:
    """Positions less a number, compared, as exporters write a window; and a number that is an axis alone."""
    from onnx import TensorProto, helper, numpy_helper

    numbers = {"width": a, "axis": b}
    tensors = [numpy_helper.from_array(np.array([value], np.int64), name) for name, value in numbers.items()]
    nodes = [
        helper.make_node("Unsqueeze", ["positions", "axis"], ["rows"]),
        helper.make_node("Cast", ["width"], ["cast"], to=TensorProto.INT64),
        helper.make_node("Sub", ["rows", "cast"], ["oldest"]),
        helper.make_node("Greater", ["columns", "oldest"], ["seen"]),
    ]
    if attribute is not None:
        nodes.append(helper.make_node("GroupQueryAttention", ["rows"], ["x"], local_window_size=attribute))
    return helper.make_model(helper.make_graph(nodes, "graph", [], [], tensors))


def judged(held: set[int], **config: Any) -> Findings:
    found = Findings()
    windows.judge(held, {"model_type": "mistral", **OPTIONS, **config}, found)
    return found


def test_the_widths_of_an_onnx_graph() -> None:
    assert windows.of_onnx(graph(WIDE, 3)) == {WIDE}
    assert windows.of_onnx(graph(1, 3, WIDER)) == {WIDER}
    assert windows.of_onnx(graph(1, 3, -1)) == set()


def test_a_width_is_judged_by_what_the_config_means() -> None:
    for right in (WIDE, WIDE - 1, WIDE + 1):
        assert (judged({right}).failures, judged({right}).warnings) == ([], [])
    assert "is 16,384 positions wide, by the config 8,192" in judged({WIDER}).failures[0]
    assert judged({WIDE, WIDER}).failures
    assert "not found" in judged(set()).warnings[0]
    assert judged(set(), max_position_embeddings=WIDE).warnings == []
    assert "states no sliding window" in judged({WIDE}, sliding_window=None).warnings[0]
    assert windows.stated({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}) is None
    assert windows.stated({"model_type": "gemma3_text", "sliding_window": 512}) == 512
    assert windows.stated({"model_type": "llama"}) is None


def openvino(source: Path, out: Path) -> Path:
    return run(Job(str(source), Request("bf16"), output=out, smoke_test=False), Silent()).path


def onnx_model(source: Path, out: Path) -> Path:
    return onnx.run(onnx.OnnxJob(str(source), Request("fp32"), output=out, smoke_test=False)).path


def structure(artifact: Path, reference: Path) -> Rung:
    checkpoint, opened = open_checkpoint(reference), open_artefact(artifact)
    return opened.structure(checkpoint, opened.weights(checkpoint), Silent())


def restated(artifact: Path) -> None:
    """Let an artifact of the wider window state the right one, and have no manifest: its graph alone gives it away."""
    path = artifact / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | OPTIONS))
    (artifact / "edgeconv.json").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("convert", [openvino, onnx_model])
def test_a_window_too_wide_for_every_probe(
    convert: Callable[[Path, Path], Path], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model("mistral", **OPTIONS)
    sound = structure(convert(source, tmp_path / "sound"), source)
    assert not [said for said in [*sound.failures, *sound.warnings] if "of the graph" in said or "in the graph" in said]
    assert sound.figures["window"] == WIDE
    wider = convert(tiny_model("mistral", **OPTIONS | {"sliding_window": WIDER}), tmp_path / "wider")
    restated(wider)
    failures = structure(wider, source).failures
    assert [said for said in failures if "is 16,384 positions wide, by the config 8,192" in said], failures


def test_a_window_too_wide_in_the_keys_of_a_gguf(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("phi3", **OPTIONS)
    file = write(source, tmp_path / "a.gguf", "f32")
    assert open_gguf(file).own("attention.sliding_window") == WIDE
    assert structure(file, source).failures == []
    set_key(file, "phi3.attention.sliding_window", WIDER)
    assert structure(file, source).failures == ["phi3.attention.sliding_window is 16384, by the config 8192."]

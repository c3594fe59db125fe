"""The sliding window of a graph beside the config's: one that is wider than any probe is long is seen in the graph alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import Job, run
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.checks import windows
from edgeconv.validate.checks.weights import Findings
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.report.model import Check

from .gguf_files import set_key, write

WIDE, WIDER = 8192, 16384
OPTIONS = {"sliding_window": WIDE, "max_position_embeddings": 32768}


NUMBER = 5
FORMS = ("query - n ~ key", "key + n ~ query", "query + -n ~ key", "query - key ~ n", "key - query ~ -n")
COMPARISONS = ("Greater", "Less", "GreaterEqual", "LessEqual")


def sides(form: str, query: Any, key: Any, number: Any, op: Callable[[str, Any, Any], Any]) -> tuple[Any, Any]:
    """What a form compares; `number(n)` makes a constant, `op` adds and subtracts."""
    return {
        FORMS[0]: lambda: (op("Subtract", query, number(NUMBER)), key),
        FORMS[1]: lambda: (op("Add", key, number(NUMBER)), query),
        FORMS[2]: lambda: (op("Add", number(-NUMBER), query), key),
        FORMS[3]: lambda: (op("Subtract", query, key), number(NUMBER)),
        FORMS[4]: lambda: (op("Subtract", key, query), number(-NUMBER)),
    }[form]()


def seen(form: str, comparison: str, turned: bool) -> int:
    """How many keys a query at 40 sees, by what the comparison says of each, whether it hides or shows the far ones."""
    keys = np.arange(41)
    numpy_ops: dict[str, Any] = {"Subtract": np.subtract, "Add": np.add}
    left, right = sides(form, np.int64(40), keys, np.int64, lambda name, a, b: numpy_ops[name](a, b))
    if turned:
        left, right = right, left
    compare = {"Greater": np.greater, "Less": np.less, "GreaterEqual": np.greater_equal, "LessEqual": np.less_equal}
    said = np.broadcast_to(compare[comparison](left, right), keys.shape)
    (border,) = np.flatnonzero(said[1:] != said[:-1])
    return 40 - int(border)


def in_onnx(form: str, comparison: str, turned: bool) -> set[int]:
    from onnx import helper, numpy_helper

    names = {"Subtract": "Sub", "GreaterEqual": "GreaterOrEqual", "LessEqual": "LessOrEqual"}
    nodes, tensors = [], []

    def number(n: int) -> str:
        tensors.append(numpy_helper.from_array(np.array([n], np.int64), f"n{n}"))
        return f"n{n}"

    def op(name: str, *given: str) -> str:
        nodes.append(helper.make_node(names.get(name, name), list(given), [f"{name}{len(nodes)}"]))
        return f"{name}{len(nodes) - 1}"

    left, right = (op("Unsqueeze", side, number(0)) for side in sides(form, "query", "key", number, op))
    op(comparison, *((right, left) if turned else (left, right)))
    return windows.of_onnx(helper.make_model(helper.make_graph(nodes, "graph", [], [], tensors)))


def in_openvino(form: str, comparison: str, turned: bool) -> set[int]:
    import openvino as ov
    from openvino import opset13 as ops

    made: dict[str, Any] = {
        "Subtract": ops.subtract, "Add": ops.add, "Greater": ops.greater, "Less": ops.less,
        "GreaterEqual": ops.greater_equal, "LessEqual": ops.less_equal,
    }  # fmt: skip
    query, key = ops.parameter([-1, 1], np.int64), ops.parameter([1, -1], np.int64)
    left, right = sides(
        form, query, key, lambda n: ops.constant(np.array(n, np.int64)), lambda name, a, b: made[name](a, b)
    )
    left, right = (ops.unsqueeze(side, ops.constant(np.array(0, np.int64))) for side in (left, right))
    result = made[comparison](*((right, left) if turned else (left, right)))
    return windows.of_ir(ov.Model([result], [query, key]))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("read", [in_onnx, in_openvino])
def test_a_width_is_the_number_of_keys_that_are_seen(
    read: Callable[[str, str, bool], set[int]], form: str, comparison: str, turned: bool
) -> None:
    assert read(form, comparison, turned) == {seen(form, comparison, turned)}
    assert seen(form, comparison, turned) in (NUMBER, NUMBER + 1)


def attending(width: int) -> Any:
    """A model of one attention that has a window by its attribute; its keys weigh alike, so it gives the mean of the values."""
    from onnx import TensorProto, helper

    floats, ints = TensorProto.FLOAT, TensorProto.INT32
    shapes = {name: [1, "n", 16] for name in "qkv"} | {name: [1, 2, 0, 8] for name in ("past_k", "past_v")}
    inputs = [helper.make_tensor_value_info(name, floats, shape) for name, shape in shapes.items()]
    lengths = [helper.make_tensor_value_info("last", ints, [1]), helper.make_tensor_value_info("all", ints, [])]
    outputs = [helper.make_tensor_value_info(name, floats, None) for name in ("out", "k_now", "v_now")]
    node = helper.make_node(
        "GroupQueryAttention", [*shapes, "last", "all"], [value.name for value in outputs],
        domain="com.microsoft", num_heads=2, kv_num_heads=2, local_window_size=width,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        helper.make_graph([node], "graph", [*inputs, *lengths], outputs), opset_imports=opsets, ir_version=8
    )


@pytest.mark.parametrize("width", [3, NUMBER])
def test_the_attribute_of_onnxruntimes_attention_is_the_number_of_keys_that_are_seen(width: int) -> None:
    import onnxruntime

    model, length = attending(width), 12
    nothing = np.zeros((1, length, 16), np.float32)
    values = nothing + 2.0 ** np.arange(length, dtype=np.float32)[None, :, None]
    empty = np.zeros((1, 2, 0, 8), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"q": nothing, "k": nothing, "v": values, "past_k": empty, "past_v": empty}
    lengths = {"last": np.array([length - 1], np.int32), "all": np.array(length, np.int32)}
    last = session.run(["out"], given | lengths)[0][0, -1, 0]
    assert np.isclose(last, values[0, -width:, 0].mean())
    assert windows.of_onnx(model) == {width}


def test_other_numbers_are_no_widths() -> None:
    """An axis, a step of one, and a number that is added to what nobody compares."""
    from onnx import helper, numpy_helper

    tensors = [numpy_helper.from_array(np.array([n], np.int64), f"n{n}") for n in (1, 3, 7)]
    nodes = [
        helper.make_node("Unsqueeze", ["query", "n3"], ["rows"]),
        helper.make_node("Sub", ["rows", "n1"], ["before"]),
        helper.make_node("Greater", ["key", "before"], ["newest"]),
        helper.make_node("Add", ["rows", "n7"], ["positions"]),
        helper.make_node("Greater", ["query", "n7"], ["late"]),
        helper.make_node("GroupQueryAttention", ["positions"], ["out"], local_window_size=-1),
    ]
    assert windows.of_onnx(helper.make_model(helper.make_graph(nodes, "graph", [], [], tensors))) == set()


def judged(held: set[int], **config: Any) -> Findings:
    found = Findings()
    windows.judge(held, {"model_type": "mistral", **OPTIONS, **config}, found)
    return found


def test_a_width_is_judged_by_what_the_config_means() -> None:
    assert (judged({WIDE}).failures, judged({WIDE}).warnings) == ([], [])
    for wrong in (WIDE - 1, WIDE + 1):
        assert f"is {wrong:,} positions wide, by the config 8,192" in judged({wrong}).failures[0]
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
    return conversion.run(conversion.OnnxJob(str(source), Request("fp32"), output=out, smoke_test=False)).path


def structure(artifact: Path, reference: Path) -> Check:
    checkpoint, opened = open_checkpoint(reference), open_artifact(artifact)
    return opened.structure(checkpoint, opened.weights(checkpoint), Silent())


def stating(source: Path, to: Path, width: int) -> Path:
    """A copy of a checkpoint that states another window: to it the artifact's is wrong by as much."""
    shutil.copytree(source, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | {"sliding_window": width}))
    return to


OFF = (-1, 1, WIDER - WIDE)


@pytest.mark.slow
@pytest.mark.parametrize("convert", [openvino, onnx_model])
def test_a_window_that_no_probe_reaches(
    convert: Callable[[Path, Path], Path], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model("mistral", **OPTIONS)
    artifact = convert(source, tmp_path / "sound")
    sound = structure(artifact, source)
    assert not [said for said in [*sound.failures, *sound.warnings] if "of the graph" in said or "in the graph" in said]
    assert sound.figures["window"] == WIDE
    for off in OFF:
        failures = structure(artifact, stating(source, tmp_path / str(off), WIDE + off)).failures
        wanted = f"is 8,192 positions wide, by the config {WIDE + off:,}"
        assert [said for said in failures if wanted in said], failures


@pytest.mark.parametrize("off", OFF)
def test_a_window_in_the_keys_of_a_gguf(off: int, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("phi3", **OPTIONS)
    file = write(source, tmp_path / "a.gguf", "f32")
    assert open_gguf(file).own("attention.sliding_window") == WIDE
    assert structure(file, source).failures == []
    set_key(file, "phi3.attention.sliding_window", WIDE + off)
    assert structure(file, source).failures == [f"phi3.attention.sliding_window is {WIDE + off}, by the config {WIDE}."]

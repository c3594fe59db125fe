"""Our writer beside `openvino.save_model`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from edgeconv.convert.openvino import tensor_layout, trace_write
from edgeconv.convert.openvino.compress_graph import StandIns
from edgeconv.core.errors import CheckpointError
from edgeconv.core.progress import Silent
from edgeconv.quantize.assign import Assignment

RANDOM = np.random.default_rng(0)


def no_release(_: Any) -> None:
    """The arrays of these tests are nobody's pages."""


def write(model: Any, folder: Path, weights: trace_write.Weights | None = None) -> None:
    weights = weights or trace_write.Weights(set(), no_release)
    digest = trace_write.write(model, weights, folder, Silent())
    content = (folder / "openvino_model.bin").read_bytes()
    assert digest.size == len(content)
    assert digest.sha256 == hashlib.sha256(content).hexdigest()


def graph(*constants: Any) -> Any:
    """A model that adds the sum of each constant to its input."""
    value = parameter = ops.parameter([-1], np.float32, name="x")
    for constant in constants:
        axes = np.arange(len(constant.get_output_shape(0)), dtype=np.int64)
        value = ops.add(value, ops.reduce_sum(ops.convert(constant, np.float32), ops.constant(axes), False))
    return ov.Model([value], [parameter], "sums")


def test_equal_constants_lie_once_and_in_openvinos_order(tmp_path: Path) -> None:
    large = RANDOM.standard_normal((700, 300)).astype(np.float32)
    nearly = large.copy()
    nearly[350, 150] += 1  # the same size, head and tail
    constants = [
        large, nearly, large.copy(), np.float32(3), np.zeros(4, np.int64), np.zeros(8, np.int32), np.zeros(1, np.int8),
        np.zeros((0, 4), np.float32),
        np.arange(600, dtype=np.float16), np.float32(3), np.arange(600, dtype=np.float16),
    ]  # fmt: skip
    model = graph(*(ops.constant(c, name=f"c{i} <&> \"'") for i, c in enumerate(constants)))
    ov.save_model(model, tmp_path / "theirs.xml", compress_to_fp16=False)
    write(model, tmp_path)
    assert (tmp_path / "openvino_model.bin").read_bytes() == (tmp_path / "theirs.bin").read_bytes()
    assert (tmp_path / "openvino_model.xml").read_text() == (tmp_path / "theirs.xml").read_text()


def test_constants_of_branches(tmp_path: Path) -> None:
    def branch(value: float) -> tuple[Any, Any]:
        x = ops.parameter([-1], np.float32)
        return ov.Model([ops.add(x, ops.constant(np.full(3, value, np.float32)))], [x]), x

    (then, then_x), (other, other_x) = branch(1.5), branch(2.5)
    x, condition = ops.parameter([-1], np.float32), ops.parameter([], np.bool_)
    node = ops.if_op(condition)
    node.set_then_body(then)
    node.set_else_body(other)
    node.set_input(x.output(0), then_x, other_x)
    result = node.set_output(then.results[0], other.results[0])
    model = ov.Model([ops.add(result, ops.constant(np.full(3, 7, np.float32)))], [x, condition])
    ov.save_model(model, tmp_path / "theirs.xml", compress_to_fp16=False)
    write(model, tmp_path)
    assert (tmp_path / "openvino_model.bin").read_bytes() == (tmp_path / "theirs.bin").read_bytes()
    assert (tmp_path / "openvino_model.xml").read_text() == (tmp_path / "theirs.xml").read_text()


@pytest.mark.parametrize(("mode", "group"), [("int4_asym", 32), ("int4_sym", -1), ("int8_asym", -1), ("int8_sym", -1)])
def test_stand_ins_become_what_they_stand_for(mode: str, group: int, tmp_path: Path) -> None:
    """Two equal weights and a third one of another content, quantized block by block while they are written."""
    first = RANDOM.standard_normal((9001, 1056)).astype(np.float32)  # more than two blocks
    values = {"a": first, "b": first.copy(), "c": first[::-1].copy()}
    planned = {
        name: tensor_layout.store(
            name, dtype="F32", shape=array.shape, assignment=Assignment(mode, group), precision="int"
        )
        for name, array in values.items()
    }
    stand_ins = StandIns(max(part.size for s in planned.values() for part in s.parts))
    constants = [stand_ins(part) for s in planned.values() for part in s.parts]
    weights = trace_write.Weights(set(values), no_release, {name: (planned[name], values[name]) for name in values})
    write(graph(*constants), tmp_path, weights)

    real, buffers = [], []  # OpenVINO does not keep what it was given
    for name, plan in planned.items():
        data, zero_point, scale = tensor_layout.encode(plan, values[name])
        tails = list(tensor_layout.tail(plan, [zero_point], [scale]))
        for part, content in zip(plan.parts, [data, *tails], strict=True):
            buffers.append(np.ascontiguousarray(content.reshape(-1).view(np.uint8)))
            tensor = ov.Tensor(buffers[-1], list(part.shape), getattr(ov.Type, part.element))
            real.append(ops.constant(tensor, name=part.name))
    ov.save_model(graph(*real), tmp_path / "theirs.xml", compress_to_fp16=False)
    assert (tmp_path / "openvino_model.bin").read_bytes() == (tmp_path / "theirs.bin").read_bytes()


def test_only_constants_that_hold_tensors_must_be_finite(tmp_path: Path) -> None:
    mask = np.array([0, -np.inf], np.float32)
    write(graph(ops.constant(mask, name="mask")), tmp_path)
    weights = trace_write.Weights({"norm"}, no_release)
    with pytest.raises(CheckpointError, match=r"^norm: "):
        write(graph(ops.constant(mask, name="norm")), tmp_path, weights)


def test_int8_errors_of_blocks_are_those_of_the_whole() -> None:
    from edgeconv.quantize import integer

    values = RANDOM.standard_normal((9001, 1056)).astype(np.float32)
    errors = trace_write.int8_errors([("w", values)], no_release, Silent())
    assert errors == {"w": integer.int8_error(values)}

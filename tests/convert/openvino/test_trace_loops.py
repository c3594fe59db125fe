"""A layer with a recurrent state, traced: its loop's outputs are read from the loop, and bfloat16 finds its state again.

The joined form that optimum-intel writes is made here too, in small, to see that the values stay what they are.
"""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import trace, trace_loops
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve
from edgeconv.runtimes import openvino as runtime

from ...models import tiny


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tiny.make("granitemoehybrid", tmp_path_factory.mktemp("granitemoehybrid"))
    out = tmp_path_factory.mktemp("made")
    trace.export(open_checkpoint(source), resolve(Request("bf16")), out, progress=Silent())
    return out


def joined_loop(sizes: tuple[int, int] = (3, 16), cut_at: str = "first") -> ov.Model:
    """Doubles x [n, 3] row by row with a state [2, 16] that counts on; both outputs are joined, and cut apart again."""
    x = opset15.parameter([-1, sizes[0]], np.float32, name="x")
    state = opset15.parameter([-1, sizes[1]], np.float32, name="state")
    count = opset15.gather(opset15.shape_of(x), opset15.constant(0), opset15.constant(0))
    loop = opset15.loop(opset15.convert(count, "i32"), opset15.constant(True))
    row = opset15.parameter([1, sizes[0]], np.float32)
    kept = opset15.parameter([-1, sizes[1]], np.float32)
    new = opset15.add(kept, opset15.constant(np.float32(1)))
    made = opset15.multiply(row, opset15.constant(np.float32(2)))
    results = [opset15.result(one) for one in (opset15.constant(np.array([True])), new, made)]
    loop.set_function(ov.Model(results, [row, kept], "body"))
    loop.set_special_body_ports([-1, 0])
    loop.set_sliced_input(row, x.output(0), 0, 1, 1, -1, 0)
    loop.set_merged_input(kept, state.output(0), new.output(0))
    rows, last = (loop.get_concatenated_slices(made.output(0), 0, 1, 1, -1, 0), loop.get_iter_value(new.output(0), -1))
    flat = [opset15.reshape(one, opset15.constant([-1]), False) for one in (rows, last)]
    whole = opset15.concat(flat, 0)
    lengths = [opset15.shape_of(one) for one in flat]
    bound = lengths[0] if cut_at == "first" else lengths[1]
    zero, end, one = (opset15.constant([n]) for n in (0, 2**63 - 1, 1))
    cuts = [opset15.slice(whole, zero, bound, one, zero), opset15.slice(whole, bound, end, one, zero)]
    shapes = [opset15.shape_of(x), opset15.shape_of(state)]
    if cut_at != "first":
        shapes.reverse()
    out = [opset15.reshape(cut, shape, False) for cut, shape in zip(cuts, shapes, strict=True)]
    return ov.Model([opset15.result(one) for one in out], [x, state], "joined")


def kinds(model: ov.Model) -> set[str]:
    return {node.get_type_name() for node in model.get_ordered_ops()}


def test_joined_outputs_are_read_from_their_loop() -> None:
    model = joined_loop()
    given = {"x": np.arange(15, dtype=np.float32).reshape(5, 3), "state": np.ones((2, 16), np.float32)}
    before = [np.array(value) for value in ov.Core().compile_model(model, "CPU")(given).values()]
    assert trace_loops.take_apart(model) == 2
    assert not {"Concat", "Slice"} & kinds(model)
    after = ov.Core().compile_model(model, "CPU")(given).values()
    np.testing.assert_array_equal(before[0], given["x"] * 2)
    assert all(map(np.array_equal, before, after))


def test_what_is_cut_otherwise_is_left_alone() -> None:
    """Pieces of other sizes than the outputs' are not the outputs."""
    model = joined_loop(cut_at="second")
    assert trace_loops.take_apart(model) == 0
    assert {"Concat", "Slice"} <= kinds(model)


def test_no_traced_loop_joins_its_outputs(converted: Path) -> None:
    model = ov.Core().read_model(converted / "openvino_model.xml")
    assert "Loop" in kinds(model)
    assert not any(trace_loops._joined(node) for node in model.get_ordered_ops())


def test_a_state_is_found_again_in_bfloat16(converted: Path) -> None:
    """A text that is longer than the first one: its steps through the cache are those of its prefill, roughly."""
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU computes in float32")
    made = runtime.OpenVINORuntime(converted, accurate=False)
    random = np.random.default_rng(0)
    for count in (12, 60, 30):
        ids = random.integers(0, 4000, count).tolist()
        whole = np.concatenate([logits.copy() for logits in made.logits(ids)])
        stepped = np.concatenate([logits.copy() for logits in made.logits(ids, (count // 2, *[1] * count))])
        assert np.abs(whole - stepped).mean() < 0.1  # 0.01 to 0.06 of bfloat16; 1.2, or NaN, without the state

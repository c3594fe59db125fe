import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import ArtifactError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes import elements
from edgeconv.validate.weights import ArtifactWeights

from ..ir import weights as independent_weights
from .planted import copy_of

XML = "openvino_model.xml"


def by_openvino(element: str, raw: np.ndarray) -> np.ndarray:
    """What OpenVINO's own Convert makes of packed bytes."""
    import openvino as ov
    from openvino import opset13 as ops

    kind = getattr(ov.Type, element)
    count = raw.nbytes * 8 // kind.bitwidth
    parameter = ops.parameter([count], np.float32)
    values = ops.convert(ops.constant(ov.Tensor(raw, [count], kind)), np.float32)
    model = ov.Model([ops.add(values, parameter)], [parameter])
    compiled = ov.Core().compile_model(model, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    result: np.ndarray = compiled([np.zeros(count, np.float32)])[0]
    return result


@pytest.mark.parametrize("element", [*elements.INTEGERS, *elements.TABLES, "bf16", "f16"])
def test_every_code_is_read_as_openvino_reads_it(element: str) -> None:
    raw = np.arange(256, dtype=np.uint8).repeat(3)
    if element in ("bf16", "f16"):
        raw = np.arange(0, 2**16, 7, dtype=np.uint16).view(np.uint8)
    expected = by_openvino(element, raw)
    got = elements.decode(raw.view(np.uint16) if element == "bf16" else raw.view(np.float16) if element == "f16" else raw,
                          element, 0, len(expected))  # fmt: skip
    # not all of f8e8m0's ends and float16's NaNs survive the plugin; what is finite in both must be equal
    finite = np.isfinite(expected) & np.isfinite(got)
    assert finite.mean() > 0.9
    normal = np.abs(got) > np.finfo(np.float32).tiny
    np.testing.assert_array_equal(got[finite & normal], expected[finite & normal])


@pytest.mark.parametrize("element", ["u2", "u3", "u4", "i4", "u6", "u8", "nf4"])
def test_any_range_is_a_part_of_the_whole(element: str) -> None:
    raw = np.random.default_rng(0).integers(0, 256, 96, np.uint8)
    bits = elements.INTEGERS.get(element) or elements.TABLES[element]
    count = 96 * 8 // bits
    whole = elements.decode(raw, element, 0, count)
    for start, stop in [(0, 1), (1, 2), (3, 11), (5, count), (7, 7), (count - 1, count)]:
        np.testing.assert_array_equal(elements.decode(raw, element, start, stop), whole[start:stop])


def test_the_tensors_are_those_of_an_independent_reading(converted: Path, builtin_model: Path) -> None:
    checkpoint = open_checkpoint(builtin_model)
    weights = ArtifactWeights(converted, checkpoint)
    expected = independent_weights(converted / XML)
    assert set(weights.matched) == checkpoint.names
    assert weights.unmatched_checkpoint == []
    assert [s.shape for s in weights.unmatched_artefact] == [(1, 32, 1)]  # the rotary frequencies
    for name in checkpoint.names:
        tensor = weights.tensor(name)
        assert tensor.dtype == np.float32
        assert tensor.shape == checkpoint.info(name).shape
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


def test_permuted_rows_come_back_in_the_checkpoints_order(converted: Path, builtin_model: Path, tmp_path: Path) -> None:
    job = conversion.Job(str(builtin_model), Request("int4"), output=tmp_path / "fused", rope="fused")
    fused = ArtifactWeights(conversion.run(job, Silent()).path, open_checkpoint(builtin_model))
    plain = ArtifactWeights(converted, open_checkpoint(builtin_model))
    for name in plain.matched:
        np.testing.assert_array_equal(fused.tensor(name), plain.tensor(name), err_msg=name)
    stored = fused.matched["model.layers.0.self_attn.q_proj.weight"][0].stored
    assert not np.array_equal(stored.whole(), fused.tensor("model.layers.0.self_attn.q_proj.weight"))


def test_without_names_content_decides(converted: Path, builtin_model: Path, tmp_path: Path) -> None:
    folder = copy_of(converted, tmp_path / "a")
    path = folder / XML
    numbers = iter(range(100_000))
    path.write_text(re.sub(r'(<layer id="\d+" name=")[^"]*"', lambda m: f'{m[1]}n{next(numbers)}"', path.read_text()))
    weights = ArtifactWeights(folder, open_checkpoint(builtin_model))
    named = ArtifactWeights(converted, open_checkpoint(builtin_model))
    assert set(weights.matched) == set(named.matched)
    assert {m.how for matches in weights.matched.values() for m in matches} == {"content"}
    for name in named.matched:
        np.testing.assert_array_equal(weights.tensor(name), named.tensor(name), err_msg=name)


def test_what_is_not_of_the_checkpoint_is_listed(converted: Path, tiny_model: Any) -> None:
    other = open_checkpoint(tiny_model("glm"))
    weights = ArtifactWeights(converted, other)
    assert len(weights.unmatched_artefact) >= 50
    assert weights.unmatched_checkpoint == sorted(other.names)
    with pytest.raises(KeyError):
        weights.tensor("model.norm.weight")


def test_a_folder_that_cannot_be_opened(converted: Path, builtin_model: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(builtin_model)
    with pytest.raises(ArtifactError, match=r"holds neither openvino_model\.xml"):
        ArtifactWeights(tmp_path, checkpoint)
    folder = copy_of(converted, tmp_path / "a")
    (folder / "openvino_model.bin").unlink()
    with pytest.raises(ArtifactError, match=r"openvino_model\.bin is missing"):
        ArtifactWeights(folder, checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["int3_sym", "int2_sym", "nf4", "fp4", "mxfp4", "nvfp4", "cb4", "fp8_e4m3", "mxfp8_e4m3", "fp16"]
)
def test_every_precision_de_quantizes_as_the_graph_does(precision: str, builtin_model: Path, tmp_path: Path) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    made = conversion.run(conversion.Job(str(builtin_model), Request(precision), output=tmp_path / "ov"), Silent())
    weights = ArtifactWeights(made.path, open_checkpoint(builtin_model))
    assert weights.unmatched_checkpoint == []
    name = "model.layers.3.mlp.down_proj.weight"
    (user,) = [n for n in weights.model.get_ops() if n.get_friendly_name().startswith(f"{name}/convert")]
    parameter = ops.parameter(list(weights.tensor(name).shape), np.float32)
    graph = ov.Model([ops.add(user.output(0), parameter)], [parameter])
    compiled = ov.Core().compile_model(graph, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    expected = compiled([np.zeros(weights.tensor(name).shape, np.float32)])[0]
    # the graph multiplies in float16
    np.testing.assert_allclose(weights.tensor(name), expected, rtol=2**-9, atol=2**-24)
    assert math.isfinite(float(np.abs(expected).max()))

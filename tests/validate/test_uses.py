"""A weight that the graph de-quantizes twice, for the embedding and for the last layer, is compared in both uses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import OnnxJob, run
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.formats import open_artifact

TABLE = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def tied(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("llama", tie_word_embeddings=True)


def failures(folder: Path, source: Path) -> list[str]:
    artifact, checkpoint = open_artifact(folder), open_checkpoint(source)
    return artifact.structure(checkpoint, artifact.weights(checkpoint), Silent()).failures


def louder(scales: Any) -> np.ndarray:
    changed = np.array(scales)
    changed.reshape(-1)[-3:] *= 2
    return changed


@pytest.mark.parametrize("user", ["MatMul", "Gather"])
def test_other_scales_in_one_use_of_an_ir(user: str, tied: Path, tmp_path: Path) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    folder = conversion.run(conversion.Job(str(tied), Request("int8"), output=tmp_path / "a")).path
    assert failures(folder, tied) == []
    (folder / "edgeconv.json").unlink()
    model = ov.Core().read_model(folder / "openvino_model.xml")
    (scale,) = (
        n for n in model.get_ops() if n.get_type_name() == "Constant" and n.get_friendly_name() == f"{TABLE}/scale"
    )
    (product,) = (
        target.get_node()
        for convert in (t.get_node() for t in scale.output(0).get_target_inputs())
        for target in (
            [convert.input(0)] if convert.get_type_name() == "Multiply" else convert.output(0).get_target_inputs()
        )
    )
    other = ops.convert(ops.constant(louder(scale.data)), product.get_output_element_type(0))
    values = next(v for v in product.input_values() if v.get_node().get_friendly_name() != scale.get_friendly_name())
    apart = ops.multiply(values, other)
    behind = [product.output(0)]
    moved = 0
    while behind:  # the use may lie behind conversions
        for target in list(behind.pop().get_target_inputs()):
            node = target.get_node()
            if node.get_type_name() == user:
                target.replace_source_output(ops.convert(apart, target.get_element_type()).output(0))
                moved += 1
            elif node.get_type_name() in ("Convert", "Reshape"):
                behind.append(node.output(0))
    assert moved == 1
    ov.save_model(model, tmp_path / "b.xml", compress_to_fp16=False)
    for ending in (".xml", ".bin"):
        shutil.move((tmp_path / "b").with_suffix(ending), folder / f"openvino_model{ending}")
    (failure,) = failures(folder, tied)
    assert TABLE in failure


@pytest.mark.parametrize("precision", ["int8", "int4_sym"])
@pytest.mark.parametrize("first", [True, False])
def test_other_scales_in_one_use_of_an_onnx_model(precision: str, first: bool, tied: Path, tmp_path: Path) -> None:
    import onnx

    asked = Request(precision, all_layers=precision == "int4_sym" or None)
    folder = run(OnnxJob(str(tied), asked, output=tmp_path / "a")).path
    assert failures(folder, tied) == []
    (folder / "edgeconv.json").unlink()
    model = onnx.load(folder / "model.onnx")
    uses = [t for t in model.graph.initializer if t.name.startswith(f"{TABLE}/scale")]
    assert len(uses) == 2  # one for the embedding, one for the last layer
    scales = uses[0 if first else 1]
    scales.CopyFrom(onnx.numpy_helper.from_array(louder(onnx.numpy_helper.to_array(scales)), scales.name))
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx_data")
    assert any(TABLE in failure for failure in failures(folder, tied))

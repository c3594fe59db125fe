"""An ONNX artifact that sees, through every check; what is planted in it is caught."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.conversion import OnnxJob, run
from edgeconv.convert.onnx.layers import Layers
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import ArtifactError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.onnxruntime import OnnxTower
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.parity import Ask, validate

from ..models.tiny_v import make_glm_edge_v


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_glm_edge_v(tmp_path_factory.mktemp("v") / "model")


@pytest.fixture(scope="module")
def sound(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(OnnxJob(str(model), Request("int8"), output=tmp_path_factory.mktemp("sound") / "out")).path


@pytest.mark.slow
def test_the_whole_ladder(sound: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path))
    report = validate(Ask(sound, reference=str(model), max_tokens=250))
    assert [check.status for check in report.rungs] == ["passed"] * 10, [check.failures for check in report.rungs]
    figures = {c.name: c.figures["max_abs_logit"].value for c in report.comparisons}
    assert figures["picture_conversion"] < 1e-3 < figures["picture_quantisation"]


@pytest.mark.slow
def test_begin_and_end_exchanged(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every weight is right, and only the graph is wrong: the rows stand in each other's places."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    original = Layers.between

    def exchanged(self: Any, first: str, rows: Any, last: str, *others: Any) -> Any:
        return original(self, last, rows, first, *others)

    monkeypatch.setattr(Layers, "between", exchanged)
    folder = run(OnnxJob(str(model), Request("int8"), output=tmp_path / "out")).path
    report = validate(Ask(folder, reference=str(model), max_tokens=250))
    assert report.first_failed == "vision"


def test_a_spoilt_weight_of_the_tower_and_a_spoilt_config(sound: Path, model: Path, tmp_path: Path) -> None:
    import onnx

    folder = shutil.copytree(sound, tmp_path / "out")
    (folder / "edgeconv.json").unlink()  # the hashes alone would give it away
    name = "model.vision.vit.model.vision_model.encoder.layers.1.mlp.fc1.weight"
    proto = onnx.load(folder / "vision_encoder.onnx", load_external_data=False)
    places = next({e.key: int(e.value) for e in t.external_data if e.key != "location"} for t in proto.graph.initializer
                  if t.name == name)  # fmt: skip
    with (folder / "vision_encoder.onnx_data").open("r+b") as file:
        data = np.memmap(file, np.float16, "r+", places["offset"], (places["length"] // 2,))
        data[:] = np.roll(data, 1)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "glm"}))
    checkpoint = open_checkpoint(model)
    artifact = open_artifact(folder)
    failures = artifact.structure(checkpoint, artifact.weights(checkpoint), Silent()).failures
    assert any(name in failure for failure in failures), failures
    assert any("glm_edge_v" in failure for failure in failures), failures


def test_a_tower_of_another_tools_form_is_refused(sound: Path, tmp_path: Path) -> None:
    import onnx

    proto = onnx.load(sound / "vision_encoder.onnx")
    proto.graph.input[0].name = "pixels"
    proto.graph.node[0].input[0] = "pixels"
    onnx.save(proto, tmp_path / "vision_encoder.onnx")
    shutil.copyfile(sound / "config.json", tmp_path / "config.json")
    with pytest.raises(ArtifactError):
        OnnxTower(tmp_path)

"""Vision's own proof: each planted fault is caught by the check that one would expect; an untouched artifact passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.conversion import Job, run
from edgeconv.convert.families.glm_edge_v_model.pixels import Preprocess
from edgeconv.convert.openvino.stream_layers import Layers
from edgeconv.convert.program import vit
from edgeconv.core.picture_task import upright_rgb
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from ..models.tiny_v import make_glm_edge_v

pytestmark = pytest.mark.slow
TOKENS = 250
LAYERS = "model.vision.vit.model.vision_model.encoder.layers"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_glm_edge_v(tmp_path_factory.mktemp("v") / "model")


@pytest.fixture(scope="module")
def sound(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(model, tmp_path_factory.mktemp("sound") / "ov")


def convert(source: Path, out: Path) -> Path:
    return run(Job(str(source), Request("int8"), output=out)).path


def climb(artifact: Path, reference: Path) -> Report:
    return validate(Ask(artifact, reference=str(reference), max_tokens=TOKENS))


def failed(report: Report) -> set[str]:
    return {check.name for check in report.rungs if check.status == "failed"}


def edit_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


def swapped_layers(tensors: dict[str, Any]) -> None:
    one, other = (f"{LAYERS}.{i}.mlp.fc1.weight" for i in (0, 1))
    tensors[one], tensors[other] = tensors[other], tensors[one]


def no_begin(tensors: dict[str, Any]) -> None:
    tensors["model.vision.adapter.boi"].zero_()


def no_end(tensors: dict[str, Any]) -> None:
    tensors["model.vision.adapter.eoi"].zero_()


@pytest.mark.parametrize("fault", [swapped_layers, no_begin, no_end], ids=lambda f: f.__name__)
def test_weights_of_the_tower(fault: Callable[[dict[str, Any]], None], model: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(model, tmp_path / "model")
    edit_tensors(spoilt, fault)
    report = climb(convert(spoilt, tmp_path / "ov"), model)
    assert report.first_failed == "structure"
    assert "model.vision." in report.rungs[0].failures[0]
    if fault is swapped_layers:  # of a row of zeros among hundreds a mean cosine says little
        assert "vision" in failed(report)


@pytest.mark.parametrize(("key", "value"), [("image_mean", [0.48, 0.46, 0.41]), ("image_std", [0.27, 0.26, 0.28])])
def test_other_mean_or_deviation(key: str, value: list[float], sound: Path, model: Path, tmp_path: Path) -> None:
    out = shutil.copytree(sound, tmp_path / "ov")
    path = out / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    (out / "edgeconv.json").unlink()  # the hashes alone would give it away
    report = climb(out, model)
    assert report.first_failed == "pixels"


def test_a_picture_in_the_middle(sound: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    def centered(self: Preprocess, picture: Any) -> Any:
        picture = upright_rgb(picture)
        fitted = picture.resize(self.fit(*picture.size), resample=Image.Resampling(self.resample))
        square = np.zeros((self.size, self.size, 3), np.uint8)
        top, left = (self.size - fitted.height) // 2, (self.size - fitted.width) // 2
        square[top : top + fitted.height, left : left + fitted.width] = np.asarray(fitted)
        return square

    monkeypatch.setattr(Preprocess, "canvas", centered)
    report = climb(sound, model)
    assert report.first_failed == "pixels"
    assert not any("square" in failure for failure in report.rungs[-4].failures)  # a square one has no middle


def test_a_template_that_is_one_token_short(sound: Path, model: Path, tmp_path: Path) -> None:
    out = shutil.copytree(sound, tmp_path / "ov")
    for path in (out / "tokenizer_config.json", out / "chat_template.jinja"):
        if path.is_file():
            path.write_text(path.read_text().replace("range(6)", "range(5)"))
    (out / "edgeconv.json").unlink()
    report = climb(out, model)
    assert report.first_failed == "template"
    assert report.verdict == "failed"


def test_begin_and_end_exchanged(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every weight is right, and only the graph is wrong: the rows stand in each other's places."""
    original = Layers.between

    def exchanged(self: Any, first: str, rows: Any, last: str, *others: Any) -> Any:
        return original(self, last, rows, first, *others)

    monkeypatch.setattr(Layers, "between", exchanged)
    report = climb(convert(model, tmp_path / "ov"), model)
    assert report.first_failed == "vision"


def test_an_approximation_in_the_tower(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, with another epsilon."""
    original = vit.encode

    def other(ops: Any, vision: Any, pixels: Any) -> Any:
        from dataclasses import replace

        return original(ops, replace(vision, eps=1e-2), pixels)

    monkeypatch.setattr(vit, "encode", other)
    report = climb(convert(model, tmp_path / "ov"), model)
    assert report.first_failed == "vision"


def test_an_untouched_artifact_passes(sound: Path, model: Path) -> None:
    report = climb(sound, model)
    assert failed(report) == set()
    assert {c.name for c in report.comparisons} >= {"picture_conversion", "picture_quantisation"}
    conversion = next(c for c in report.comparisons if c.name == "picture_conversion")
    assert conversion.figures["max_abs_logit"].value < 1e-3

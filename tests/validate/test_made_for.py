"""An artifact that was made for a GPU or an NPU is judged for float16's range wherever it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.peaks import HALF
from edgeconv.validate.report.model import Check

from .gguf_files import edit_weights

pytestmark = pytest.mark.slow
LOUD = "model.layers.1.mlp.down_proj.weight"


def logits(artifact: Path, source: Path) -> Check:
    report = validate(Ask(artifact, reference=str(source), max_tokens=100, quick=True))
    return next(check for check in report.rungs if check.name == "logits")


def test_a_target_is_read_from_the_manifest_and_makes_it_stricter_alone(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    source = shutil.copytree(tiny_model("llama", dtype="float32"), tmp_path / "source")
    edit_weights(source, lambda tensors: tensors[LOUD].mul_(1e8))
    job = conversion.Job(str(source), Request("int8", target="gpu"), output=tmp_path / "out")
    out = conversion.run(job, Silent()).path
    manifest = out / "edgeconv.json"
    content = json.loads(manifest.read_text())
    assert content["scheme"]["target"] == "gpu"
    check = logits(out, source)
    assert check.figures["largest_activation"] > HALF
    assert any("in which GPU computes" in failure for failure in check.failures), check.failures

    content["scheme"]["target"] = "cpu"
    manifest.write_text(json.dumps(content))
    check = logits(out, source)
    assert not any("float16" in failure for failure in check.failures)
    assert any("float16 ends at 65,504" in warning for warning in check.warnings)

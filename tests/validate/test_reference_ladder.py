"""The whole ladder over the families whose reference needs more than the usual: exact artifacts pass, planted faults do not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from ..models.tiny import LONG_ROPE

pytestmark = pytest.mark.slow
EXACT = ("stablelm", "starcoder2", "granitemoe")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("edgeconv.validate.parity.LONG", 512)
        yield


def openvino(source: Path, out: Path, precision: str = "bf16") -> Path:
    return conversion.run(conversion.Job(str(source), Request(precision), output=out, engine="trace"), Silent()).path


def climb(artifact: Path, reference: Path) -> Report:
    return validate(Ask(artifact, reference=str(reference), max_tokens=600))


def problems(report: Report) -> list[str]:
    """What is wrong with the artifact. Experts that a device flips at a few positions leave the runtime undecided."""
    lines = [
        f"{line.metric} {line.value}"
        for line in report.budgets
        if not line.passed and (line.decided or "runtime" not in line.metric)
    ]
    return [*lines, *(failure for check in report.rungs for failure in check.failures)]


def figure(report: Report, comparison: str, name: str = "max_abs_logit") -> float:
    return next(c for c in report.comparisons if c.name == comparison).figures[name].value


@pytest.mark.parametrize("family", EXACT)
def test_exact_artifacts_pass_in_openvino(family: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model(family, max_position_embeddings=1024)
    report = climb(openvino(source, tmp_path / "a"), source)
    assert problems(report) == []
    structure = next(check for check in report.rungs if check.name == "structure")
    assert structure.figures["unmatched_checkpoint"] == 0
    assert len(report.activations) == 2


@pytest.mark.parametrize("family", ["stablelm", "starcoder2"])
def test_biases_in_eight_bits_are_matched(family: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model(family, max_position_embeddings=1024)
    report = climb(openvino(source, tmp_path / "a", "int8"), source)
    structure = next(check for check in report.rungs if check.name == "structure")
    assert structure.failures == []
    assert figure(report, "conversion") < 1e-3


def test_a_cap_of_attention(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("gemma2", max_position_embeddings=1024)
    bare = shutil.copytree(source, tmp_path / "bare")
    config = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps(config | {"attn_logit_softcapping": None}))
    right = climb(
        conversion.run(conversion.OnnxJob(str(source), Request("fp32"), output=tmp_path / "right")).path, source
    )
    assert problems(right) == []
    wrong = climb(
        conversion.run(conversion.OnnxJob(str(bare), Request("fp32"), output=tmp_path / "wrong")).path, source
    )
    assert wrong.verdict == "failed"
    assert figure(wrong, "conversion") > 0.01


def test_long_ropes_pass(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("phi3", **LONG_ROPE)
    assert problems(climb(openvino(source, tmp_path / "a"), source)) == []

"""onnxruntime-genai answers as the artifact itself does; a config that misleads it is caught by what it makes."""

import json
import shutil
from pathlib import Path

import pytest

from edgeconv.convert.conversion import OnnxJob, run
from edgeconv.convert.onnx.names import GENAI
from edgeconv.core.errors import ArtifactError
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes import onnx_genai_once
from edgeconv.validate.parity import Ask, validate

pytest.importorskip("onnxruntime_genai")
PROMPTS = [[{"role": "user", "content": "What is the capital of Japan?"}]]


@pytest.fixture(scope="module")
def int8(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: copy it before changing anything."""
    out = tmp_path_factory.mktemp("genai") / "int8"
    return run(OnnxJob(str(builtin_model), Request("int8"), output=out)).path


def test_it_answers_and_stops(int8: Path) -> None:
    (turn,) = onnx_genai_once.answer(int8, PROMPTS, 40, lambda _: [])
    assert turn.runtime == onnx_genai_once.NAME
    assert 0 < len(turn.made) < 40
    stops = json.loads((int8 / "generation_config.json").read_text())["eos_token_id"]
    assert not set(turn.made[:-1]) & set(stops)


def test_a_cache_that_is_not_the_graphs_is_an_error(int8: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(int8, broken)
    config = json.loads((broken / GENAI).read_text())
    config["model"]["decoder"]["inputs"]["past_key_names"] = "past.%d.key"
    (broken / GENAI).write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=r"onnxruntime-genai cannot run"):
        onnx_genai_once.answer(broken, PROMPTS, 4, lambda _: [1])


@pytest.mark.slow
def test_a_validation_asks_it(int8: Path, builtin_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("edgeconv.validate.parity.LONG", 512)
    report = validate(Ask(int8, reference=str(builtin_model), max_tokens=600))
    (check,) = [check for check in report.rungs if check.name == "generation"]
    assert (check.status, check.failures) == ("passed", [])
    assert sum(pair.runtime == onnx_genai_once.NAME for pair in report.generations) == 2

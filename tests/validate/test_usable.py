"""What a runtime cannot use is said in one sentence that names it: a graph without a state, impossible sampling, a place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import ArtifactError, OutputError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.openvino_genai import Chat
from edgeconv.validate.checks.weights import Findings, judge
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.report.write import require_place
from edgeconv.validate.weights.fit import Fit

from ..cli.conftest import Command, edgeconv  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def source(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conversion.run(
        conversion.Job(str(source), Request("int8"), output=tmp_path_factory.mktemp("made") / "a")
    ).path


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    (tmp_path / "copy" / "edgeconv.json").unlink()
    return tmp_path / "copy"


@pytest.fixture
def stateless(copy: Path, tmp_path: Path) -> Path:
    """As `optimum-cli export openvino --disable-stateful` leaves it: the caller keeps the cache."""
    import openvino as ov
    from openvino._offline_transformations import stateful_to_stateless_transformation

    model = ov.Core().read_model(copy / "openvino_model.xml")
    stateful_to_stateless_transformation(model)
    ov.save_model(model, tmp_path / "b.xml", compress_to_fp16=False)
    for ending in (".xml", ".bin"):
        shutil.move((tmp_path / "b").with_suffix(ending), copy / f"openvino_model{ending}")
    return copy


def test_a_graph_without_a_state(
    stateless: Path,
    source: Path,
    edgeconv: Command,  # noqa: F811
) -> None:
    artifact, checkpoint = open_artifact(stateless), open_checkpoint(source)
    check = artifact.structure(checkpoint, artifact.weights(checkpoint), Silent())
    assert any("has no state" in failure for failure in check.failures)
    with pytest.raises(ArtifactError, match="has no state"):
        artifact.runtime("CPU", Silent(), accurate=True)
    with pytest.raises(ArtifactError, match="has no state"):
        Chat(stateless)
    for command in (("bench", stateless, "--task", "8/2"), ("chat", stateless, "--prompt", "Hello")):
        done = edgeconv(*command)
        assert done.code == 1
        assert "has no state" in done.err
    assert "has no state" in edgeconv("inspect", stateless).out
    assert edgeconv("inspect", stateless, "--json").data["stateful"] is False


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"num_beams": 4}, "num_beams 4"), ({"do_sample": True, "temperature": 0.0}, "temperature")],
)
def test_sampling_that_openvino_genai_cannot_do(fields: dict[str, Any], says: str, copy: Path) -> None:
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": 2} | fields))
    with pytest.raises(ArtifactError, match=r"generation_config\.json asks for what openvino_genai cannot do") as error:
        Chat(copy)
    assert says in error.value.message
    assert "Convert the checkpoint again" not in (error.value.hint or "")


def test_a_report_that_cannot_be_written_costs_no_measurement(
    copy: Path,
    source: Path,
    tmp_path: Path,
    edgeconv: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr("edgeconv.validate.parity.validate", lambda *_: pytest.fail("it was measured"))
    done = edgeconv("validate", copy, "--reference", source, "--report", tmp_path / "file" / "report")
    assert done.code == 1
    assert "cannot be written" in done.err
    with pytest.raises(OutputError):
        require_place(tmp_path / "file")
    require_place(tmp_path / "new" / "report")
    assert not (tmp_path / "new").exists()


def test_a_weight_that_only_its_rms_condemns_is_said_to_be_that() -> None:
    found = Findings()
    fit = Fit(
        "w",
        "tq1_0",
        rms=0.814,
        expected_rms=float("inf"),
        worst=0,
        over=0,
        rows_over=0,
        rows=128,
        not_finite=0,
        zero=False,
    )
    judge([fit], lambda one: one.rms > 0.5, lambda _: None, found)
    assert found.failures == ["w (tq1_0): its relative RMS error is 0.814, more than a weight stored so may have."]

"""`edgeconv validate` and `--validate` as a release job uses them: exit codes, files, JSON."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as Tree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.validate import cache, parity
from edgeconv.validate.bisect.model import Bisection
from edgeconv.validate.report.model import Report

from ..validate.gguf_files import edit_weights
from .conftest import Command

FEW = ("--quick", "--max-tokens", "600")
AWAY = (*FEW, "--no-report")
"""A shared artifact stays as it is."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_a_release_that_may_go_out(edgeconv: Command, converted: Path, tmp_path: Path) -> None:
    report, junit = tmp_path / "report", tmp_path / "parity.xml"
    result = edgeconv("validate", converted, *FEW, "--report", report, "--junit", junit)
    assert result.code == 0
    assert "PASSED" in result.out
    assert "skipped: left out by --quick" in result.out
    assert {p.name for p in report.iterdir()} == {"parity.json", "parity.md", "parity.html"}
    assert Report.model_validate_json((report / "parity.json").read_text()).verdict == "passed"
    assert Tree.parse(junit).getroot().get("failures") == "0"


@pytest.mark.slow
def test_a_bisection(edgeconv: Command, converted: Path, builtin_model: Path, tmp_path: Path) -> None:
    """It says 0 of a sound artifact, 3 and the place of a spoilt one, and writes nothing."""
    before = sorted(converted.iterdir())
    result = edgeconv("validate", converted, "--bisect", "--max-tokens", "100")
    assert (result.code, sorted(converted.iterdir())) == (0, before)
    assert "SOUND. No layer departs" in result.out
    other = shutil.copytree(builtin_model, tmp_path / "other")
    edit_weights(other, lambda tensors: tensors.update({_PLANTED: tensors[_PLANTED] * 2}))
    result = edgeconv("validate", converted, "--bisect", "--reference", other, "--json", "--max-tokens", "100")
    assert result.code == 3
    found = Bisection.model_validate(result.data)
    assert found.first is not None
    assert (found.verdict, found.first.layer, found.first.name) == ("departs", 2, "attention")
    assert "the attention of layer 2" in found.sentence
    for option in (("--quick",), ("--budget", "mean_kl=1"), ("--junit", tmp_path / "a.xml")):
        refused = edgeconv("validate", converted, "--bisect", *option)
        assert (refused.code, f"takes no {option[0]}" in refused.err) == (2, True)


_PLANTED = "model.layers.2.input_layernorm.weight"


@pytest.mark.slow
def test_a_release_that_is_stopped(edgeconv: Command, converted: Path) -> None:
    result = edgeconv("validate", converted, *AWAY, "--budget", "mean_kl=1e-6", "--json")
    assert result.code == 3
    assert (result.data["verdict"], result.data["first_failed"]) == ("failed", "budget")
    (line,) = [line for line in result.data["budgets"] if line["metric"] == "quantisation.mean_kl"]
    assert not line["passed"] and line["limit"] == 1e-6


@pytest.mark.slow
def test_convert_and_validate_in_one_command(
    edgeconv: Command, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    out, source = tmp_path / "ov", tiny_model("llama")  # every text of the suite is measured: a small model
    line = ("openvino", "--model", source, "--precision", "fp32", "--output", out, "--validate", "--json")
    result = edgeconv(*line)
    assert result.code == 0
    assert result.data["parity"]["verdict"] == "passed"
    assert (out / "parity" / "parity.html").is_file()
    assert edgeconv("inspect", out).code == 0  # a report inside does not make the artifact another one


def test_a_budget_is_read_before_anything_else(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    line = ("openvino", "--model", builtin_model, "--output", tmp_path / "ov", "--json")
    for extra, said in (
        (("--validate", "--budget", "men_kl=1"), "men_kl"),
        (("--validate", "--budget", "mean_kl=x"), "METRIC=LIMIT"),
        (("--budget", "mean_kl=1"), "validation"),
    ):
        result = edgeconv(*line, *extra)
        assert result.code == 2
        assert said in result.error["message"]
    assert not (tmp_path / "ov").exists()


@pytest.mark.slow
def test_a_suite_that_is_shorter_than_asked(edgeconv: Command, converted: Path, tmp_path: Path) -> None:
    suite = tmp_path / "short.txt"
    suite.write_text("Only a few words of text are here.")
    result = edgeconv("validate", converted, "--quick", "--suite", suite, "--max-tokens", "500", "--json")
    assert result.code == 2
    assert "The suite has" in result.error["message"]
    assert "500 were asked for" in result.error["message"]


@pytest.mark.slow
def test_one_text_is_too_few_to_judge(edgeconv: Command, converted: Path, tmp_path: Path) -> None:
    suite, junit = tmp_path / "short.txt", tmp_path / "parity.xml"
    suite.write_text("Only a few words of text are here.")
    result = edgeconv("validate", converted, *AWAY[:1], "--no-report", "--suite", suite, "--junit", junit, "--json")
    assert result.code == 6
    assert (result.data["verdict"], result.data["first_failed"]) == ("undecided", None)
    lines = {line["metric"]: line for line in result.data["budgets"]}
    assert not lines["quantisation.mean_kl"]["decided"]
    assert lines["quantisation.not_finite"]["passed"]
    assert Tree.parse(junit).getroot().get("failures") != "0"
    told = edgeconv("validate", converted, "--quick", "--no-report", "--suite", suite)
    assert "1 text cannot tell" in told.out
    assert "too few texts to judge" in told.out


def test_a_report_is_written_unless_it_is_not_wanted(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    made = conversion.run(conversion.GgufJob(str(builtin_model), recipe("q8_0"), output=tmp_path / "a")).path
    (file,) = made.glob("*.gguf") if made.is_dir() else [made]
    assert edgeconv("validate", file, *AWAY).code == 0
    assert not list(file.parent.glob("**/parity.json"))
    told = edgeconv("validate", file, *FEW)
    assert told.code == 0
    place = file.with_name(f"{file.stem}.parity")
    assert {p.name for p in place.iterdir()} == {"parity.json", "parity.md", "parity.html"}
    assert str(place / "parity.html") in told.out
    assert edgeconv("verify", file.parent).code == 0
    assert edgeconv("validate", file.parent, *FEW).code == 0
    assert (file.parent / "parity" / "parity.json").is_file()
    assert edgeconv("verify", file.parent).code == 0
    both = edgeconv("validate", file, *AWAY, "--report", tmp_path / "r", "--json")
    assert both.code == 2
    assert "--no-report" in both.error["message"]


def test_a_report_that_nobody_asked_for_does_not_stop_the_verdict(
    edgeconv: Command, builtin_model: Path, tmp_path: Path
) -> None:
    made = conversion.run(conversion.GgufJob(str(builtin_model), recipe("q8_0"), output=tmp_path / "a")).path
    (file,) = made.glob("*.gguf") if made.is_dir() else [made]
    file.with_name(f"{file.stem}.parity").write_text("in the way")
    told = edgeconv("validate", file, *FEW)
    assert told.code == 0
    assert "There is no report" in told.err
    assert edgeconv("validate", file, *FEW, "--report", file.with_name(f"{file.stem}.parity")).code == 1


@pytest.mark.slow
def test_an_artifact_without_a_source_needs_a_reference(
    edgeconv: Command, converted: Path, builtin_model: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(converted, tmp_path / "of-another-tool")
    (other / "edgeconv.json").unlink()
    result = edgeconv("validate", other, *FEW, "--json")
    assert result.code == 2
    assert "--reference" in result.error["hint"]
    assert edgeconv("validate", other, *FEW, "--reference", builtin_model).code == 0


@pytest.mark.slow
def test_an_interrupted_run_leaves_a_cache_that_the_next_one_uses(
    edgeconv: Command, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parity._Run, "_compare", interrupted)
        assert edgeconv("validate", converted, *AWAY).code == 130
    kept = cache.entries()
    assert len(kept) == 1
    assert not list((cache.folder() / "reference").glob(".partial-*"))
    result = edgeconv("validate", converted, *AWAY, "--json")
    assert result.code == 0
    assert cache.entries() == kept
    assert "Running the reference" not in result.err


@pytest.mark.parametrize("single", [True, False])
def test_a_gguf_finds_its_reference(single: bool, edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf" if single else tmp_path / "m"
    made = conversion.run(conversion.GgufJob(model=str(builtin_model), recipe=recipe("q8_0"), output=out)).path
    result = edgeconv("validate", made, *FEW, "--json")
    assert result.code == 0
    assert result.data["verdict"] == "passed"
    assert result.data["artefact"]["facts"]["stored as"] == "q8_0"
    assert not [w for check in result.data["rungs"] for w in check["warnings"]]
    file = made if single else next(made.glob("*.gguf"))
    with file.open("r+b") as stream:
        stream.seek(-5000, 2)
        stream.write(bytes(64))
    result = edgeconv("validate", made, *FEW, "--json")
    assert (result.code, result.data["first_failed"]) == (3, "structure")
    assert "is not the file that the manifest records" in result.data["rungs"][0]["failures"][0]

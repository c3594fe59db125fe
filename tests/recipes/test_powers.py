"""A recipe is a stranger's text: what it may name, and what it may not allow itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgeconv.builtin import model_path
from edgeconv.core.digest import sha256_file
from edgeconv.core.errors import UsageError
from edgeconv.recipes.load import load
from edgeconv.recipes.unit import Consent, Unit, units
from edgeconv.validate import budget

from ..cli.conftest import Command
from ..words import WORDS

RECIPE = """\
name: r
source: {{model: {model}{power}}}
targets:
  t:
    format: {kind}
    {lines}
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder for recipes with a text in it, and a secret beside it."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "words.jsonl").write_text(WORDS)
    (tmp_path / "secret.txt").write_text("hf_SENTINEL")
    return folder


def write(
    folder: Path, lines: str = "quick: true", *, kind: str = "openvino", power: str = "", model: str = "org/name"
) -> Path:
    path = folder / "r.yaml"
    path.write_text(RECIPE.format(model=model, power=power, kind=kind, lines=lines))
    return path


def resolved(path: Path, **options: Any) -> Unit:
    (unit,) = units(load(path), path, path.parent / "out", **options)
    return unit


FIELDS = [("openvino", "suite"), ("gguf", "suite"), ("onnx", "suite"), ("openvino", "calibration"), ("gguf", "imatrix")]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
@pytest.mark.parametrize("name", ["../secret.txt", "/proc/self/environ", "link.txt", "up/secret.txt", "pipe.txt", "."])
def test_a_recipe_names_files_of_its_folder_only(kind: str, field: str, name: str, made: Path) -> None:
    import os

    (made / "link.txt").symlink_to("/proc/self/environ")
    (made / "up").symlink_to("..")
    os.mkfifo(made / "pipe.txt")
    with pytest.raises(UsageError, match=f"r/t: the recipe names {name!r}") as caught:
        resolved(write(made, f"{field}: {name}", kind=kind))
    assert "--files" in str(caught.value.hint)


def test_the_person_who_runs_it_may_name_another_folder(made: Path, edgeconv: Command) -> None:
    elsewhere = made.parent / "texts"
    elsewhere.mkdir()
    (elsewhere / "own.txt").write_text("words")
    for name in ("own.txt", str(elsewhere / "own.txt")):
        path = write(made, f"suite: {name}")
        unit = resolved(path, files=elsewhere)
        assert unit.suite is not None
        assert unit.suite.read_text() == "words"
        assert edgeconv("recipes", "validate", path).code == 2
        assert edgeconv("recipes", "validate", path, "--files", elsewhere).code == 0


def test_code_runs_only_by_an_option(made: Path, edgeconv: Command) -> None:
    path = write(made, power=", trust_remote_code: true")
    with pytest.raises(UsageError, match="asks to run Python code"):
        resolved(path)
    assert resolved(path, consent=Consent(trust_remote_code=True)).job.trust_remote_code  # type: ignore[union-attr]
    for more in ((), ("--dry-run",)):
        result = edgeconv("run", path, *more)
        assert result.code == 2
        assert "--trust-remote-code" in result.err
    assert not resolved(write(made), consent=Consent(trust_remote_code=True)).job.trust_remote_code  # type: ignore[union-attr]


def test_what_nobody_measured_is_published_only_by_an_option(made: Path, edgeconv: Command) -> None:
    path = write(made, "parity: false\n    publish: {repo: org/x, allow_unvalidated: true}")
    assert resolved(path).target.publish
    with pytest.raises(UsageError, match="though nobody measures it"):
        resolved(path, consent=Consent(allow_unvalidated=False))
    assert resolved(path, consent=Consent(allow_unvalidated=True)).target.publish
    result = edgeconv("run", path, "--publish")
    assert result.code == 2
    assert "--allow-unvalidated" in result.err


def test_a_budget_that_is_looser_than_ours_is_called_so() -> None:
    own = budget.table(4.0, 100_000_000, takes_images=False, graph="openvino")
    limits = {b.metric: b.limit for b in own if b.comparison == "quantisation"}
    loose = {metric: limit - 0.01 if metric.startswith("top") else limit * 2 + 1 for metric, limit in limits.items()}
    tight = {
        metric: limit + 0.001 if metric.startswith("top") else limit / 2 - 1e-6 for metric, limit in limits.items()
    }
    for asked, looser in ((loose, True), (limits, False), (tight, False)):
        lines = budget.judge_figures(budget.override(own, asked), {})
        stated = [line for line in lines if line.metric.startswith("quantisation.")]
        assert {line.metric.removeprefix("quantisation.") for line in stated} == set(limits)
        assert all(line.looser is looser for line in stated)
        assert all(("looser than edgeconv's own limit" in line.reason) is looser for line in stated)
    assert not any(line.looser for line in budget.judge_figures(own, {}))


def test_the_report_names_recipe_and_suite_by_digest_and_another_suite_is_measured_anew(
    made: Path, edgeconv: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(made.parent / "cache"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    lines = "precision: int8\n    suite: words.jsonl\n    quick: true\n    budget: {mean_kl: 9, kl_99: 99, top1: 0}"
    path = write(made, lines, model=str(model_path()))
    run = ("run", path, "--output", made / "out", "--json", "--quiet")
    assert edgeconv(*run).data[0]["stages"] == {"convert": "done", "parity": "done"}
    report = json.loads((made / "out" / "r-t" / "parity" / "parity.json").read_text("utf-8"))
    assert report["suite"]["facts"]["recipe"] == sha256_file(path)
    assert len(report["suite"]["digest"]) == 64
    assert {b["metric"]: b["looser"] for b in report["budgets"]}["quantisation.mean_kl"] is True
    assert edgeconv(*run).data[0]["stages"]["parity"] == "as before"
    with (made / "words.jsonl").open("a") as file:
        file.write(json.dumps("Some more words to measure on, which nobody has seen before.") + "\n")
    assert edgeconv(*run).data[0]["stages"]["parity"] == "done"

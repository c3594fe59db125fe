"""`edgeconv sensitivity`, `frontier` and `search`: what they print, save and exit with; the work itself is replaced."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeconv.cli.search import byte_count
from edgeconv.core.errors import UsageError
from edgeconv.recipes.load import load
from edgeconv.recipes.unit import units
from edgeconv.study.frontier import run as frontier
from edgeconv.study.search import run as search
from edgeconv.study.search.model import Search, SearchTrial
from edgeconv.study.sensitivity import run as sensitivity
from edgeconv.study.sensitivity.model import PartFigure, Sensitivity
from edgeconv.validate.report.model import Estimate

from .conftest import Command

RECIPE = {
    "recipe": 1,
    "name": "model",
    "source": {"model": "/a/model"},
    "targets": {"gguf": {"format": "gguf", "type": "q4_k_s", "pure": True, "tensor_type": [r"^blk\.(0)\.attn_v\.weight$=q6_k"]}},
}  # fmt: skip


def result(*, met: bool) -> Search:
    trial = SearchTrial(
        label="q4_k_s 1 rules",
        options={},
        summed_kl=0.02,
        expected_kl=0.02,
        mean_kl=Estimate(value=0.03),
        judged_kl=0.04,
        top1=Estimate(value=0.9),
        expected_bytes=10**6,
        bytes=10**6,
        keeps=met,
    )
    return Search(
        model="model", format="gguf", max_kl=0.05, max_bytes=None, suite="s", suite_digest="d", tokens=None, trials=[trial],
        winner=0 if met else None, nearest=None if met else 0, reason="Because.", recipe=RECIPE if met else None,
    )  # fmt: skip


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []

    def run(job: search.SearchJob, _: object) -> Search:
        seen.append(job)
        return result(met=job.max_kl is not None)

    monkeypatch.setattr(search, "run", run)
    return seen


def test_a_recipe_is_printed_and_saved(jobs: list[Any], edgeconv: Command, tmp_path: Path) -> None:
    made = edgeconv("search", "a/model", "--max-kl", "0.05")
    assert made.code == 0
    assert jobs[0].max_kl == 0.05
    assert yaml.safe_load(made.out.partition("Because.\n")[2]) == RECIPE
    saved = tmp_path / "model-gguf.search.yaml"
    assert load(saved).targets["gguf"].model_dump()["type"] == "q4_k_s"
    again = edgeconv("search", "a/model", "--max-kl", "0.05", "--json")
    assert again.data["saved"] == "model-gguf.search-2.yaml"
    assert edgeconv("search", "a/model", "--max-kl", "0.05", "-o", saved).code == 1
    assert edgeconv("search", "a/model", "--max-kl", "0.05", "-o", saved, "--force").code == 0


def test_what_cannot_be_met_exits_with_3(jobs: list[Any], edgeconv: Command, tmp_path: Path) -> None:
    made = edgeconv("search", "a/model", "--max-size", "1.5MB", "--format", "openvino", "--calibration", "suite")
    assert (made.code, "Because." in made.out, list(tmp_path.iterdir())) == (3, True, [])
    assert (jobs[0].max_bytes, jobs[0].format, jobs[0].calibration) == (1_500_000, "openvino", "suite")


@pytest.fixture
def found(jobs: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The fields of the found target that name files, by absolute paths as the search has them."""
    named: dict[str, Any] = {}

    def run(job: search.SearchJob, _: object) -> Search:
        target = RECIPE["targets"]["gguf"] | named  # type: ignore[index]
        return result(met=True).model_copy(update={"recipe": RECIPE | {"targets": {"gguf": target}}})

    monkeypatch.setattr(search, "run", run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for name in ("words.txt", "matrix.dat", "letter.txt", "prompts.jsonl", "photo.jpg"):
        (tmp_path / name).write_text(name)
    (tmp_path / "suite.yaml").write_text(
        "suite: 1\ndocuments:\n  - {name: a, kind: text, file: letter.txt}\nprompts: prompts.jsonl\n"
        "pictures:\n  - {file: photo.jpg, question: What is it}\n"
    )
    return named


@pytest.mark.parametrize("suite", ["words.txt", "suite.yaml"])
@pytest.mark.parametrize("where", [".", "here"])
def test_a_recipe_runs_as_it_is(
    where: str, suite: str, found: dict[str, Any], edgeconv: Command, tmp_path: Path
) -> None:
    """Its files are named relative to it: those beside it stay, others are copied; it can be taken elsewhere."""
    found |= {"suite": str(tmp_path / suite), "imatrix": str(tmp_path / "matrix.dat")}
    saved = tmp_path / where / "r.yaml"
    made = edgeconv("search", "a/model", "--max-kl", "0.05", "-o", saved, "--json")
    assert made.code == 0
    (unit,) = units(load(saved), saved, tmp_path / "out")  # refuses what leads out of the recipe's folder
    assert unit.target.suite == made.data["recipe"]["targets"]["gguf"]["suite"]
    assert not Path(str(unit.target.suite)).is_absolute()
    assert unit.suite.read_bytes() == (tmp_path / suite).read_bytes()
    assert unit.files["imatrix"].read_text() == "matrix.dat"
    copied = {path.name for path in (tmp_path / where).glob("r.files/*")}
    parts = {"letter.txt", "prompts.jsonl", "photo.jpg"} if suite == "suite.yaml" else set()
    assert copied == (set() if where == "." else {suite, "matrix.dat", *parts})


def test_a_copy_replaces_nothing_without_force(found: dict[str, Any], edgeconv: Command, tmp_path: Path) -> None:
    found["suite"] = str(tmp_path / "words.txt")
    line = ("search", "a/model", "--max-kl", "0.05", "-o", tmp_path / "here" / "r.yaml")
    mine = tmp_path / "here" / "r.files" / "words.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    made = edgeconv(*line)
    assert (made.code, mine.read_text()) == (1, "mine")
    assert not (tmp_path / "here" / "r.yaml").exists()
    assert edgeconv(*line, "--force").code == 0
    assert mine.read_text() == "words.txt"


def test_sizes() -> None:
    assert [byte_count(text) for text in ("900MB", "1.2 GB", "2g", "512")] == [9 * 10**8, 1_200_000_000, 2 * 10**9, 512]
    for text in ("", "0", "GB", "1TB", "-3M"):
        with pytest.raises(UsageError):
            byte_count(text)


def test_a_sensitivity(edgeconv: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = PartFigure(
        name="layer 0", kind="layer", tensors=["a"], parameters=10, bytes=5, saved=15, stored_as={"int4_sym": 2},
        mean_kl=Estimate(value=0.25, low=0.2, high=0.3), top1=Estimate(value=0.75),
    )  # fmt: skip
    found = Sensitivity(
        model="m", weights_digest="w", suite="s", suite_digest="d", tokens=5, documents=1, precision="int4_sym/64", by="layer",
        method="exact", parts=[part, part.model_copy(update={"name": "layer 1", "mean_kl": Estimate(value=0.5)})],
    )  # fmt: skip
    monkeypatch.setattr(sensitivity, "run", lambda *_: found)
    made = edgeconv("sensitivity", "m", "-o", tmp_path / "out")
    assert [line.split()[1] for line in made.out.splitlines()[1:]] == ["1", "0"]  # the most sensitive first
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"sensitivity.{kind}" for kind in ("json", "svg", "html")
    }
    assert Sensitivity.model_validate_json((tmp_path / "out" / "sensitivity.json").read_text()) == found
    assert edgeconv("sensitivity", "m", "-o", tmp_path / "out").code == 0  # over its own files
    assert Sensitivity.model_validate(edgeconv("sensitivity", "m", "--json").data) == found


@pytest.mark.parametrize("command", ["frontier", "sensitivity"])
@pytest.mark.parametrize("kind", ["json", "svg", "html"])
def test_a_foreign_file_is_refused_before_hours_of_work(
    command: str, kind: str, edgeconv: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sensitivity, "run", lambda *_: pytest.fail("it was measured"))
    monkeypatch.setattr(frontier, "run", lambda *_: pytest.fail("it was measured"))
    mine = tmp_path / f"{command}.{kind}"
    mine.write_text("mine")
    made = edgeconv(command, "m", "-o", tmp_path)
    assert (made.code, mine.read_text()) == (1, "mine")
    assert "is not a report of edgeconv" in made.err

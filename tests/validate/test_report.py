import json
import math
import stat
from pathlib import Path
from xml.etree import ElementTree as Tree

import pytest

from edgeconv.core.errors import ArtifactError, OutputError
from edgeconv.validate.checks import engines
from edgeconv.validate.checks.known_defects import OPENVINO_DEFECTS
from edgeconv.validate.checks.runtime_defects import Observed
from edgeconv.validate.checks.template_defects import GENAI_DEFECTS
from edgeconv.validate.report import html, junit, markdown, words
from edgeconv.validate.report.model import BudgetLine, Check, Estimate, Report, RuntimeDefect
from edgeconv.validate.report.write import dump, read, write

from . import report_samples as samples

HOSTILE = "</script><script>alert(1)</script> | `x` @octocat <img src=x>\x00\x1b[2J\u202e\nhttps://a.example"


@pytest.fixture(autouse=True)
def _no_step_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def with_failure(report: Report, text: str) -> Report:
    check = Check(name="structure", status="failed", summary=text, failures=[text], warnings=[text])
    return report.model_copy(update={"rungs": [check, *report.rungs[1:]], "first_failed": "structure", "notes": [text]})


def test_an_engines_defects_stand_in_every_rendering_and_are_not_the_verdict() -> None:
    defect = RuntimeDefect(
        name="no <b>normal</b> form", engine="llama.cpp", versions="b9190", concerns="decomposed letters", effect="has no NFC",
        count=1234, examples=["combining marks"],
    )  # fmt: skip
    report = samples.report("passed", tokens=20)
    rungs = [r.model_copy(update={"defects": [defect]}) if r.name == "tokens" else r for r in report.rungs]
    report = report.model_copy(update={"rungs": rungs})
    assert json.loads(dump(report))["rungs"][2]["defects"][0]["count"] == 1234
    for text in (markdown.render(report), html.render(report), junit.render(report)):
        assert all(part in text for part in ("llama.cpp b9190", "decomposed letters", "has no NFC", "1,234"))
        assert "<b>normal</b>" not in text
    assert "combining marks" in words.sentence(defect)
    assert "<failure" not in junit.render(report)
    assert words.reason(report) == words.reason(samples.report("passed", tokens=20))


def test_a_version_that_no_list_has_looked_at_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [(engines.installed(d.engine), d) for d in (*OPENVINO_DEFECTS, *(one.defect for one in GENAI_DEFECTS))]
    assert all(here for here, _ in listed)
    seen = Observed()
    seen.add(listed[0][1], "a text")
    (row,) = seen.rows()
    assert row.installed
    assert row.looked_at, "the lists are not of what is locked"
    monkeypatch.setattr(engines, "installed", lambda _: "2027.1.0")
    (row,) = seen.rows()
    assert not row.looked_at
    assert "installed 2027.1.0: not looked at" in words.sentence(row)
    report = samples.report("passed", tokens=20)
    rungs = [r.model_copy(update={"defects": [row]}) if r.name == "tokens" else r for r in report.rungs]
    report = report.model_copy(update={"rungs": rungs})
    for text in (markdown.render(report), html.render(report), junit.render(report)):
        assert "installed 2027.1.0: not looked at" in text


@pytest.mark.parametrize(
    ("here", "versions", "covered"),
    [
        ("2026.4.1", "2026.4", True), ("2026.4", "2026.4", True), ("2026.40", "2026.4", False), ("2026.5.0", "2026.4", False),
        ("0.2.18", "b9190 (cyllama 0.2.18)", True), ("0.2.19", "b9190 (cyllama 0.2.18)", False), ("", "2026.4", True),
    ],
)  # fmt: skip
def test_versions_cover_an_installed_one(
    here: str, versions: str, covered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "installed", lambda _: here)
    assert engines.looked_at("llama.cpp", versions) is covered


@pytest.mark.parametrize("kind", ["passed", "failed", "crashed"])
def test_what_is_written_is_read_back(kind: str, tmp_path: Path) -> None:
    report = samples.report(kind, tokens=60)
    write(report, tmp_path / "new" / "folder", junit=tmp_path / "ci" / "junit.xml")
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["parity.html", "parity.json", "parity.md"]
    found = read(folder)
    assert found == read(folder / "parity.json")
    assert found.model_copy(update={"seal": None}) == report
    assert found.seal
    assert Tree.parse(tmp_path / "ci" / "junit.xml").getroot().tag == "testsuites"
    assert stat.S_IMODE((folder / "parity.json").stat().st_mode) == 0o644


def test_json_is_stable_sorted_and_has_a_line_a_token(tmp_path: Path) -> None:
    report = samples.report("failed", tokens=60)
    text = dump(report)
    assert text == dump(Report.model_validate_json(text))
    assert list(json.loads(text)) == sorted(json.loads(text))
    tokens = sum(len(document.tokens) for document in report.documents)
    assert sum('"text"' in line and '"kl"' in line for line in text.splitlines()) == tokens


def test_junit_may_be_a_folder_and_files_are_replaced(tmp_path: Path) -> None:
    write(samples.report("failed", tokens=20), tmp_path, junit=tmp_path)
    write(samples.report("passed", tokens=20), tmp_path, junit=tmp_path)
    assert (tmp_path / "parity.xml").is_file()
    assert "Passed" in (tmp_path / "parity.md").read_text("utf-8")


def test_the_step_summary_is_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    write(samples.report("failed", tokens=20), tmp_path / "out")
    assert summary.read_text("utf-8") == "before\n" + (tmp_path / "out" / "parity.md").read_text("utf-8") + "\n"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with pytest.raises(OutputError, match="cannot be written"):
        write(samples.report("failed", tokens=20), tmp_path / "out")


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(samples.report("passed", tokens=20), tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "valid report"),
        ("{", "valid report"),
        ("[]", "valid report"),
        ('{"report": 2}', "report: "),
        (None, "exist"),
    ],
)
def test_an_invalid_report_is_an_artifact_error(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "parity.json").write_text(content)
    with pytest.raises(ArtifactError, match=said):
        read(tmp_path)


def test_figures_that_are_not_finite_survive(tmp_path: Path) -> None:
    report = samples.report("failed", tokens=20)
    worst = {"mean_kl": Estimate(value=math.nan, low=-math.inf, high=math.inf)}
    broken = report.model_copy(
        update={"comparisons": [c.model_copy(update={"figures": worst}) for c in report.comparisons]}
    )
    write(broken, tmp_path)
    found = read(tmp_path).comparisons[0].figures["mean_kl"]
    assert math.isnan(found.value)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert "| NaN<br><sub>−∞ to ∞</sub> |" in (tmp_path / "parity.md").read_text("utf-8")


def test_markdown_says_the_verdict_the_failing_budget_and_the_numbers() -> None:
    report = samples.report("failed", tokens=60)
    text = markdown.render(report)
    assert text.startswith("## ❌ Failed: parity of smollm2-135m-openvino-int4")
    value = words.measured(report.budgets[0])
    assert f"**Over budget: mean KL is {value}, wanted ≤ 0.1 nats; top-1 agreement is" in text
    for part in ("### Budget", "### Ladder", "### Three errors apart", "Noise floor", "### Generations", "⏭️ skipped"):
        assert part in text
    assert len(text.encode()) < 8000
    assert "Passed" in markdown.render(samples.report("passed", tokens=20))


def test_every_row_of_a_markdown_table_has_the_columns_of_its_header() -> None:
    lines = markdown.render(with_failure(samples.report("failed", tokens=40), HOSTILE)).splitlines()
    width = 0
    for previous, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            cells = line.replace(r"\|", "").count("|")
            width = width if previous.startswith("|") else cells
            assert cells == width, line


def test_hostile_text_is_inert_in_markdown_and_cut() -> None:
    text = markdown.render(with_failure(samples.report("crashed"), HOSTILE + "A" * 5000))
    for bad in ("<script", "<img", "@octocat", "https://", "\x00", "\x1b", "\u202e", "A" * 400):
        assert bad not in text


def cases(report: Report) -> dict[str, Tree.Element]:
    return {case.get("name", ""): case for case in Tree.fromstring(junit.render(report).encode()).iter("testcase")}


def test_junit_has_a_case_per_rung_and_budget_with_its_outcome() -> None:
    report = samples.report("failed", tokens=40)
    found = cases(report)
    assert set(found) == {*(name for name, _ in words.checks_of(report)), *(line.metric for line in report.budgets)}
    failed = {name for name, case in found.items() if case.find("failure") is not None}
    assert failed == {line.metric for line in report.budgets if not line.passed}
    assert [name for name, case in found.items() if case.find("skipped") is not None] == ["decode"]
    root = Tree.fromstring(junit.render(report).encode())
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == (str(len(found)), str(len(failed)), "1")


def test_junit_names_the_failed_rung_and_the_missing_one() -> None:
    found = cases(samples.report("crashed"))
    failure = found["tokens"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("emoji.txt, character 118")
    assert "eos: checkpoint has" in (failure.text or "")
    missing = found["generation"].find("failure")
    assert missing is not None
    assert "no result" in (missing.get("message") or "")


def test_a_failed_verdict_never_gives_a_green_junit_file() -> None:
    passed = samples.report("passed", tokens=20)
    assert not [case for case in cases(passed).values() if case.find("failure") is not None]
    strange = passed.model_copy(update={"verdict": "failed", "first_failed": "suite"})
    assert [name for name, case in cases(strange).items() if case.find("failure") is not None] == ["verdict"]


def test_junit_parses_with_control_characters_in_it() -> None:
    found = cases(with_failure(samples.report("crashed"), HOSTILE))
    failure = found["structure"].find("failure")
    assert failure is not None
    assert "</script><script>alert(1)</script>" in (failure.text or "")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.031249, "0.0312"), (9.999, "10.0"), (12.345, "12.3"), (1234.5, "1234"), (3.1249e-5, "3.12e-5"),
     (-0.5, "−0.500"), (math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "−∞"), (1.5e7, "1.50e7"), (0.0001, "0.000100")],
)  # fmt: skip
def test_significant(value: float, text: str) -> None:
    assert words.significant(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.6824, "68.2 %"), (0.99996, "99.996 %"), (0.00004, "0.004 %"), (math.nan, "NaN"),
     (0.9996, "99.96 %"), (0.9995, "99.95 %"), (0.999, "99.9 %"), (1 - 2e-9, "99.9999998 %"), (1.5, "150.0 %")],
)  # fmt: skip
def test_percent(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_a_budget_is_used_by_the_distance_from_the_ideal() -> None:
    def line(limit: float, value: float, higher: bool) -> BudgetLine:
        return BudgetLine(metric="x", limit=limit, value=value, higher_is_better=higher, passed=True, reason="")

    assert words.used(line(0.05, 0.02, False)) == pytest.approx(0.4)
    assert words.used(line(0.9, 0.95, True)) == pytest.approx(0.5)
    assert words.used(line(0.05, -1, False)) == 0
    assert words.used(line(0, 3, False)) is None
    assert words.used(line(1.0, 0.5, True)) is None
    assert words.used(line(0.05, math.nan, False)) is None

"""`edgeconv validate`: whether an artifact is still its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from ..core.errors import ExitCode, OutputError, UsageError
from ..core.option import into
from ..validate.options import ValidateOptions
from .declared import takes
from .output import Output

if TYPE_CHECKING:
    from ..validate.parity import Ask
    from ..validate.report.model import Report

PARITY = "parity"
"""Folder inside an artifact for the report of `--validate`; beside a single file it is called after it."""


@takes(ValidateOptions)
def validate(asked: ValidateOptions, out: Output) -> None:
    """Measure, token by token, whether a converted model is still its checkpoint.

    Exits with 3 if it is not within its budget, and names the first check that failed; with 6 if the texts are too
    few to judge. With --bisect: with 3 if an operation departs, and names it.
    """
    from ..validate.parity import Ask

    require_metrics(asked.budget)
    ask = Ask(**into(asked, Ask), budgets=asked.budget)
    if asked.bisect:
        from .bisect import answer

        answer(out, ask, asked)
        return
    if asked.report and asked.no_report:
        raise UsageError("--report and --no-report were both given.", "Leave one of them out.")
    place = None if asked.no_report else asked.report or report_of(asked.artifact)
    found = measure(out, ask, place, asked.junit, must=asked.report is not None)
    if out.json:
        out.data(found.model_dump(mode="json"))
    else:
        show(out, found, place)
    if found.verdict != "passed":
        raise typer.Exit(exit_code(found))


def exit_code(found: Report) -> ExitCode:
    """Return what a verdict answers."""
    codes = {"passed": ExitCode.OK, "failed": ExitCode.PARITY, "undecided": ExitCode.UNDECIDED}
    return codes[found.verdict]


def measure(out: Output, ask: Ask, report: Path | None, junit: Path | None = None, *, must: bool = True) -> Report:
    """Run the checks and write what was asked for; a report that need not be, in a place that cannot be written, is told."""
    from ..validate.parity import validate as run_checks
    from ..validate.report.write import require_own_reports, require_place, write, write_junit

    require_own_reports(report, junit)
    if report and must:
        require_place(report)
    with out.working() as progress:
        found = run_checks(ask, progress)
        if report:
            try:
                write(found, report)
            except OutputError as error:
                if must:
                    raise
                progress.note(f"There is no report: {error.message} --report DIR writes it elsewhere.")
        if junit:
            write_junit(found, junit)
    return found


def report_of(artifact: Path) -> Path:
    """Return where the report on a new artifact goes."""
    return artifact / PARITY if artifact.is_dir() else artifact.with_name(f"{artifact.stem}.{PARITY}")


def of_new(out: Output, artifact: Path, budgets: Mapping[str, float]) -> Report:
    """Measure an artifact that was just made, as `--validate` asks."""
    from ..validate.parity import Ask

    return measure(out, Ask(artifact, budgets=budgets), report_of(artifact))


def brief(found: Report, artifact: Path) -> dict[str, Any]:
    """What `--json` says of a validation behind a conversion."""
    parts = {"verdict", "first_failed", "budgets", "rungs"}
    return {"parity": {**found.model_dump(mode="json", include=parts), "report": str(report_of(artifact))}}


def require_metrics(budget: Mapping[str, float]) -> None:
    """Refuse a budget on no figure, before anything is measured. Raises UsageError."""
    from ..validate.budget import check

    check(budget)


def show(out: Output, found: Report, report: Path | None, stream: TextIO | None = None) -> None:
    """Print the parity suite, the budgets and the verdict."""
    from ..validate.report.words import defects, deviation, reason, sentence

    rows: list[tuple[str, str]] = [(result.name, f"{result.status}: {result.summary}") for result in found.rungs]
    for result in found.rungs:
        rows += [("", f"✗ {failure}") for failure in result.failures[:5]]
    rows += [("runtime defect", f"{sentence(one)}.") for _, one in defects(found)]
    rows += [(f"llama.cpp, {one.name}", f"{one.summary} Rows: {deviation(one)[0]}.") for one in found.deviations]
    for line in found.budgets:
        sign = "≥" if line.higher_is_better else "≤"
        word = "passed" if line.passed else "FAILED" if line.decided else "too few texts to judge"
        held = f"{line.value:.4g}" + (f", at worst {line.worst:.4g}" if line.worst is not None else "")
        rows.append((line.metric, f"{held} {sign} {line.limit:g}: {word}"))
    rows.append(("verdict", f"{found.verdict.upper()}. {reason(found)}"))
    if report and (report / "parity.html").is_file():
        rows.append(("report", str(report / "parity.html")))
    out.pairs(rows, stream)

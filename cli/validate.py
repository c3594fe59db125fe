"""`edgeconv validate`: whether an artifact is still its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ..core.errors import ExitCode, OutputError, UsageError
from .options import Json, Quiet, Verbose
from .output import Output

if TYPE_CHECKING:
    from ..validate.parity import Ask
    from ..validate.report.model import Report

PARITY = "parity"
"""Folder inside an artifact for the report of `--validate`; beside a single file it is called after it."""

Reference = Annotated[
    str | None,
    typer.Option(
        metavar="ID|DIR", help="The checkpoint; by default the one that the manifest names.", show_default=False
    ),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget", metavar="METRIC=LIMIT", help="Replace a budget, e.g. mean_kl=0.05 or top1=0.92. Repeatable."
    ),
]


def validate(
    artifact: Annotated[
        Path, typer.Argument(metavar="OUT", help="A converted model of any tool's making: a folder, or a .gguf.")
    ],
    *,
    reference: Reference = None,
    budget: Budgets = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own texts: suite.yaml, .txt, .md or .jsonl of chats.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Measure on about N tokens of the suite; an error if it has fewer.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Reference and artifact once, teacher-forced; conversion over 128 tokens."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail by the engine's own listed defects too, which no artifact can mend.")
    ] = False,
    bisect: Annotated[
        bool,
        typer.Option("--bisect", help="Name the first layer and operation that departs, and measure nothing else."),
    ] = False,
    reference_dtype: Annotated[str, typer.Option(help="In which type the reference computes.")] = "float32",
    device: Annotated[str, typer.Option(help="OpenVINO device of the artifact; a GGUF runs on the CPU.")] = "CPU",
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write parity.json, parity.md and parity.html there; by default to OUT/parity, or NAME.parity beside a file.",
            show_default=False,
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit XML file.", show_default=False)
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure, token by token, whether a converted model is still its checkpoint.

    Exits with 3 if it is not within its budget, and names the first check that failed; with 6 if the texts are too
    few to judge. With --bisect: with 3 if an operation departs, and names it.
    """
    from ..validate.parity import Ask

    out = Output(json=json, quiet=quiet, verbose=verbose)
    if reference_dtype not in ("float32", "bfloat16"):
        raise UsageError(f"The reference cannot compute in {reference_dtype}.", "Use float32 or bfloat16.")
    ask = Ask(
        artifact=artifact,
        reference=reference,
        suite=suite,
        budgets=limits(budget),
        max_tokens=max_tokens,
        reference_dtype=reference_dtype,
        device=device,
        quick=quick,
        strict=strict,
    )
    if bisect:
        from .bisect import answer

        others = {"--budget": budget, "--quick": quick, "--strict": strict, "--report": report, "--junit": junit}
        answer(out, ask, others)
        return
    if report and no_report:
        raise UsageError("--report and --no-report were both given.", "Leave one of them out.")
    place = None if no_report else report or report_of(artifact)
    found = measure(out, ask, place, junit, must=report is not None)
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


def of_new(out: Output, artifact: Path, budgets: dict[str, float]) -> Report:
    """Measure an artifact that was just made, as `--validate` asks."""
    from ..validate.parity import Ask

    return measure(out, Ask(artifact, budgets=budgets), report_of(artifact))


def brief(found: Report, artifact: Path) -> dict[str, Any]:
    """What `--json` says of a validation behind a conversion."""
    parts = {"verdict", "first_failed", "budgets", "rungs"}
    return {"parity": {**found.model_dump(mode="json", include=parts), "report": str(report_of(artifact))}}


def limits(given: list[str] | None) -> dict[str, float]:
    """Read `--budget METRIC=LIMIT`. Raises UsageError."""
    from ..validate.budget import check

    found = {}
    for text in given or []:
        metric, _, limit = text.partition("=")
        try:
            found[metric.strip()] = float(limit)
        except ValueError as error:
            raise UsageError(f"--budget {text} is not METRIC=LIMIT.", "For example --budget mean_kl=0.05.") from error
    check(found)
    return found


def show(out: Output, found: Report, report: Path | None, stream: TextIO | None = None) -> None:
    """Print the parity suite, the budgets and the verdict."""
    from ..validate.report.words import defects, deviation, reason, sentence

    rows: list[tuple[str, str]] = [(rung.name, f"{rung.status}: {rung.summary}") for rung in found.rungs]
    for rung in found.rungs:
        rows += [("", f"✗ {failure}") for failure in rung.failures[:5]]
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

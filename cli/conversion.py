"""What the commands that convert share: how they run, and the way from what was asked to what is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from ..core.errors import UsageError
from ..core.option import Options, declared
from ..study.calibration import OWN
from ..validate.options import ValidateOptions
from . import validate as parity
from .declared import command as declare
from .declared import flags, parameters_of
from .options import Json, Quiet, Verbose
from .output import Output, duration, size

if TYPE_CHECKING:
    from ..convert.conversion.artifact import Artifact
    from ..convert.conversion.conflicts import Conflict
    from ..core.progress import Progress
    from ..validate.report.model import Report

BUDGET = declared(ValidateOptions)["budget"]
Budget = Annotated[list[str] | None, flags(BUDGET)]
SmokeTest = Annotated[
    bool | None,
    typer.Option(
        "--smoke-test/--no-smoke-test",
        help="Let the runtime that the result is for load it and make one token before it gets its name; by default, unless "
        "EDGECONV_SMOKE_TEST is 0. Left out where the runtime is not installed, or the result too large for the free memory.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop; no weight is read.")]
OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class How:
    """How a command that converts runs, whatever the format; every option that `convert.options` does not declare."""

    out: Output
    validate: bool
    budget: Mapping[str, float]
    smoke_test: bool | None
    dry_run: bool


def _how(
    *,
    validate: bool = False,
    budget: Budget = None,
    smoke_test: SmokeTest = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> How:
    return How(Output(json=json, quiet=quiet, verbose=verbose), validate, BUDGET.taken(budget), smoke_test, dry_run)


def command(
    options: type[OptionsT], *, validate: str
) -> Callable[[Callable[[OptionsT, How], None]], Callable[..., None]]:
    """Make a command of the decorated function: its parameters are a format's options, and how it runs.

    Args:
        options: of the format.
        validate: help of `--validate`, behind "Then measure".
    """
    told = typer.Option("--validate", help=f"Then measure {validate} Exits with 3 if it is not.")
    parameters = parameters_of(_how)
    parameters["validate"] = parameters["validate"].replace(annotation=Annotated[bool, told])
    return lambda body: declare(options, body, _how, parameters)


class Plan(Protocol):
    """What a plan of any format can say."""

    @property
    def conflicts(self) -> list[Conflict]:
        """What a run would stop at."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""


def require_budget(how: How) -> None:
    """Look at --budget, before the conversion: a wrong one must not cost an hour.

    Raises:
        UsageError: a limit is on no figure, or given without --validate.
    """
    parity.require_metrics(how.budget)
    if how.budget and not how.validate:
        raise UsageError("--budget is a limit of the validation.", "Add --validate.")


def convert(
    asked: Options,
    how: How,
    *,
    more: Callable[[Artifact], dict[str, Any]],
    rows: Callable[[Artifact], list[tuple[str, str]]] | None = None,
) -> None:
    """Convert, or print the plan; validate if that was asked, and say what became of it; exit with 3 if it is not the model.

    Args:
        asked: the format's options.
        how: it runs.
        more: what `--json` answers of this format, beside `summary`.
        rows: what a person reads of it between size and time; None: scheme and engine.
    """
    from ..convert import conversion
    from ..convert.conversion.jobs import Circumstances, job

    made = job(asked, Circumstances(OWN, how.smoke_test))
    require_budget(how)
    if how.dry_run:
        _show_plan(how.out, partial(conversion.plan, made))
        return
    with how.out.working() as progress:
        artifact = conversion.run(made, progress)
    found = parity.of_new(how.out, artifact.path, how.budget) if how.validate else None
    _show(how.out, artifact, found, more(artifact), (rows or scheme_rows)(artifact))
    if found and found.verdict != "passed":
        raise typer.Exit(parity.exit_code(found))


def _show_plan(out: Output, plan: Callable[[Progress], Plan]) -> None:
    """Print the plan on stdout: it is what `--dry-run` was asked for; end as a run would that stops at a conflict."""
    from ..convert.conversion.conflicts import exit_code

    with out.working() as progress:
        made = plan(progress)
    if out.json:
        out.data(made.as_dict())
    else:
        out.pairs(made.rows())
    if made.conflicts:
        raise typer.Exit(exit_code(made.conflicts))


def _show(
    out: Output, artifact: Artifact, found: Report | None, more: dict[str, Any], rows: list[tuple[str, str]]
) -> None:
    if out.json:
        out.data(summary(artifact) | more | (parity.brief(found, artifact.path) if found else {}))
        return
    if not out.quiet:
        out.pairs(_rows(artifact, rows), stream=sys.stderr)
        if found:
            parity.show(out, found, parity.report_of(artifact.path), sys.stderr)
    out.result(str(artifact.path))


def summary(artifact: Artifact) -> dict[str, Any]:
    """What `--json` answers after a conversion to any format; the per-tensor table stays in the manifest."""
    manifest = artifact.manifest
    return {
        "output": str(artifact.path),
        "source_bytes": sum(file.size for file in manifest.source.files.values()),
        "output_bytes": sum(file.size for file in manifest.outputs.values()),
        "bits_per_weight": manifest.bits_per_weight,
        "scheme": manifest.scheme,
        "engine": manifest.engine,
        "compressor": manifest.compressor,
        "seconds": round(artifact.seconds, 3),
        "smoke_test": artifact.smoke.as_dict() if artifact.smoke else None,
        "plan": artifact.plan.as_dict(),
    }


def vision_scheme(artifact: Artifact) -> dict[str, Any] | None:
    """Return the scheme of the tower; None for a text model."""
    vision = artifact.manifest.vision
    return vision.scheme if vision else None


def scheme_rows(artifact: Artifact) -> list[tuple[str, str]]:
    """Say in NNCF's terms what the weights became, and who did it."""
    from ..convert.conversion.formats import describe_vision, format_of

    manifest, vision = artifact.manifest, vision_scheme(artifact)
    return [
        ("scheme", format_of(manifest).describe(manifest.scheme)),
        *([("vision", describe_vision(vision))] if vision else []),
        ("engine", f"{manifest.engine}, compressor {manifest.compressor}"),
    ]


def _rows(artifact: Artifact, middle: list[tuple[str, str]]) -> list[tuple[str, str]]:
    facts = summary(artifact)
    share = facts["output_bytes"] / max(facts["source_bytes"], 1)
    return [
        ("size", f"{size(facts['source_bytes'])} → {size(facts['output_bytes'])} ({share:.0%})"),
        ("bits per weight", f"{artifact.manifest.bits_per_weight:.2f}"),
        *middle,
        ("time", duration(artifact.seconds)),
        *([("smoke test", artifact.smoke.describe())] if artifact.smoke else []),
    ]

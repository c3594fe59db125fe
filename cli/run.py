"""`edgeconv run`: recipes, carried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import ExitCode
from .options import Json, Quiet, RecipeFiles, Verbose
from .output import Output

if TYPE_CHECKING:
    from ..recipes.run import Outcome
    from ..recipes.unit import Unit


def run(
    recipe: Annotated[
        list[str], typer.Argument(metavar="RECIPE…", help="Files, or names that `edgeconv recipes ls` shows.")
    ],
    *,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="TARGET", help="Only this target. Repeatable.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="ID|DIR", help="In the place of the recipe's source.", show_default=False
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of all results.")] = Path(),
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish each target whose parity passed, where the recipe says.")
    ] = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Let a recipe that asks for it run Python code of its checkpoint."),
    ] = False,
    allow_unvalidated: Annotated[
        bool,
        typer.Option(
            "--allow-unvalidated", help="With --publish: let a recipe that asks for it publish what is not measured."
        ),
    ] = False,
    files: RecipeFiles = None,
    local_files_only: Annotated[
        bool, typer.Option("--local-files-only", help="Use what was downloaded before; ask the Hub nothing.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be done, fetched and written, the memory it takes, and every conflict; no weight is read. "
            "Exits as the first conflict would.",
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert, measure and publish what recipes say, target after target.

    What an earlier run finished is not done again. A target that fails does not stop the others; the exit code is then 3 if all
    that failed is parity, else that of the first error. Nothing starts unless there is room for all results.
    """
    from ..recipes.load import find, load
    from ..recipes.preview import require_room
    from ..recipes.publication import require_apart
    from ..recipes.run import carry_out, exit_code
    from ..recipes.unit import Consent, units

    out = Output(json=json, quiet=quiet, verbose=verbose)
    paths = [find(name) for name in recipe]
    consent = Consent(trust_remote_code, allow_unvalidated if publish else None)
    found = [
        unit
        for path in paths
        for unit in units(
            load(path),
            path,
            output,
            only=only,
            model=model,
            local_files_only=local_files_only,
            files=files,
            consent=consent,
        )
    ]
    require_apart(found)
    if dry_run:
        _preview(out, found, publishing=publish)
        return
    with out.working() as progress:
        require_room(found, progress)
    outcomes = []
    for unit in found:
        out.say(f"── {unit.name}")
        with out.working() as progress:
            outcomes.append(carry_out(unit, progress, publishing=publish))
        error = outcomes[-1].error
        if error:
            out.say(f"error: {error.message}")
            out.say(f"hint: {error.hint}" if error.hint else "")
    _show(out, outcomes)
    code = exit_code(outcomes)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _preview(out: Output, found: list[Unit], *, publishing: bool) -> None:
    from ..recipes.preview import exit_code, preview

    with out.working() as progress:
        made = preview(found, progress, publishing=publishing)
    if out.json:
        out.data([one.as_dict() for one in made])
    else:
        for one in made:
            out.result(f"── {one.unit.name}")
            out.pairs(one.rows())
    code = exit_code(made)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _show(out: Output, outcomes: list[Outcome]) -> None:
    if out.json:
        out.data([outcome.as_dict() for outcome in outcomes])
        return
    stages = ("convert", "parity", "publish")
    rows = [
        [o.unit.name, *(o.stages.get(stage, "-") for stage in stages), o.url or str(o.unit.output)] for o in outcomes
    ]
    out.table(["Target", *(stage.capitalize() for stage in stages), "Result"], rows)

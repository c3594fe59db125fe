"""`edgeconv run`: recipes, carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ..core.errors import ExitCode
from ..recipes.options import RunOptions
from .declared import takes
from .output import Output

if TYPE_CHECKING:
    from ..recipes.run import Outcome
    from ..recipes.unit import Unit


@takes(RunOptions)
def run(asked: RunOptions, out: Output) -> None:
    """Convert, measure and publish what recipes say, target after target.

    What an earlier run finished is not done again. A target that fails does not stop the others; the exit code is then 3 if all
    that failed is parity, else that of the first error. Nothing starts unless there is room for all results.
    """
    found = _units(asked)
    if asked.dry_run:
        _preview(out, found, publishing=asked.publish)
    else:
        _carry_out(out, found, publishing=asked.publish)


def _units(asked: RunOptions) -> list[Unit]:
    from ..recipes.load import find, load
    from ..recipes.publication import require_apart
    from ..recipes.unit import Consent, units

    consent = Consent(asked.trust_remote_code, asked.allow_unvalidated if asked.publish else None)
    found = [
        unit
        for path in map(find, asked.recipe)
        for unit in units(
            load(path),
            path,
            asked.output,
            only=asked.only,
            model=asked.model,
            local_files_only=asked.local_files_only,
            files=asked.files,
            consent=consent,
        )
    ]
    require_apart(found)
    return found


def _carry_out(out: Output, found: list[Unit], *, publishing: bool) -> None:
    from ..recipes.preview import require_room
    from ..recipes.run import carry_out, exit_code

    with out.working() as progress:
        require_room(found, progress)
    outcomes = []
    for unit in found:
        out.say(f"── {unit.name}")
        with out.working() as progress:
            outcomes.append(carry_out(unit, progress, publishing=publishing))
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

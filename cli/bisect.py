"""`edgeconv validate --bisect`: which operation of which layer departs first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ..core.errors import ExitCode, UsageError
from ..core.option import declared
from .output import Output

if TYPE_CHECKING:
    from ..validate.bisect.model import Bisection, Operation
    from ..validate.options import ValidateOptions
    from ..validate.parity import Ask

_OTHERS = ("budget", "quick", "strict", "report", "junit")
"""Options of a validation that mean nothing to a bisection."""
_HEADER = ("layer", "operation", "error", "added", "by weights", "computed", "may be", "")


def answer(out: Output, ask: Ask, asked: ValidateOptions) -> None:
    """Bisect, and say what was found.

    Args:
        out: where to.
        ask: what.
        asked: the options, of which a bisection does not take all.

    Raises:
        UsageError: one of them was given.
        typer.Exit: with 3, if an operation departs.
    """
    from ..validate.bisect.run import bisect

    known = declared(type(asked))
    given = [known[name].flag for name in _OTHERS if getattr(asked, name)]
    if given:
        raise UsageError(f"--bisect takes no {given[0]}.", "Validate without --bisect for budgets and reports.")
    with out.working() as progress:
        found = bisect(ask, progress)
    if out.json:
        out.data(found.model_dump(mode="json"))
    else:
        _show(out, found)
    if found.verdict == "departs":
        raise typer.Exit(ExitCode.PARITY)


def _show(out: Output, found: Bisection) -> None:
    out.pairs(
        [
            ("artifact", f"{found.artifact}, {found.stored_as}, in {found.runtime}"),
            ("reference", f"{found.reference}, torch float32, {found.tokens} tokens of {found.texts} texts"),
        ]
    )
    out.table(_HEADER, [_row(one) for one in found.operations], right=(0, 2, 3, 4, 5, 6))
    out.pairs([("verdict", f"{found.verdict.upper()}. {found.sentence}")])


def _row(one: Operation) -> tuple[str, ...]:
    figures = (one.error, one.added, one.weights, one.computed, one.tolerance)
    layer = "" if one.layer is None else str(one.layer)
    return layer, one.name, *(f"{figure:.1e}" for figure in figures), "departs" if one.departs else ""

"""`edgeconv search`: the smallest artifact within a KL, or the best within a size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..core.errors import ExitCode, OutputError, UsageError
from ..core.option import into
from ..study.options import SearchOptions
from .declared import takes
from .output import Output, size
from .recipe_files import bring

if TYPE_CHECKING:
    from ..study.search.model import Search

HEADER = ("", "trial", "MB", "mean KL", "at most", "expected", "sum of parts", "top-1")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@takes(SearchOptions)
def search(asked: SearchOptions, out: Output) -> None:
    """Find the smallest artifact within a KL, or the best one within a size, and save it as a recipe for `edgeconv run`.

    What each matrix costs in each precision is estimated once; predictions choose, and every artifact that they lead to is made
    and measured as `edgeconv validate --quick` measures. A command of its own, for it makes many artifacts and keeps none: the
    recipe makes the winner. Exits with 3 if nothing keeps what was asked, and says what is nearest.
    """
    from ..study.search.run import SearchJob, run

    size_asked = {} if asked.max_size is None else {"max_bytes": byte_count(asked.max_size)}
    job = SearchJob(**into(asked, SearchJob) | size_asked)
    if asked.output and asked.output.exists() and not asked.force:
        raise OutputError(f"{asked.output} exists.", "Repeat with --force to replace it, or choose another --output.")
    with out.working() as progress:
        found = run(job, progress)
    place = None
    if found.recipe:
        place, recipe = _save(found, asked.output, force=asked.force)
        found = found.model_copy(update={"recipe": recipe})
    if out.json:
        out.data(found.model_dump(mode="json") | {"saved": str(place) if place else None})
    else:
        _show(out, found, place)
    if found.winner is None:
        raise typer.Exit(ExitCode.PARITY)


def byte_count(text: str) -> int:
    """Read a size such as 1.2GB, in decimal units. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMG]?)B?", text.strip().upper())
    if found is None or float(found[1]) == 0:
        raise UsageError(f"--max-size {text!r} is not a size.", "For example --max-size 1.2GB.")
    return int(float(found[1]) * _UNITS[found[2]])


def _save(found: Search, output: Path | None, *, force: bool) -> tuple[Path, dict[str, Any]]:
    """Write the recipe where it belongs, and return its place and what it says there.

    A name that we chose ourselves is never that of a file that is there.
    """
    from ..validate.report.write import write_file

    recipe = found.recipe or {}
    place = output or Path(f"{recipe['name']}-{found.format}.search.yaml")
    number = 2
    while output is None and not force and place.exists():
        place = Path(f"{recipe['name']}-{found.format}.search-{number}.yaml")
        number += 1
    recipe = bring(recipe, place, force=force)
    write_file(place, _yaml(recipe), force=force)
    return place, recipe


def _yaml(recipe: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=120)
    return text


def _show(out: Output, found: Search, place: Path | None) -> None:
    from ..validate.report.words import percent, significant

    rows = []
    for number, trial in enumerate(found.trials):
        mark = "●" if number == found.winner else "○" if trial.keeps else ""
        rows.append(
            (
                mark, trial.label, f"{trial.bytes / 1e6:,.2f}", significant(trial.mean_kl.value), significant(trial.judged_kl),
                significant(trial.expected_kl), significant(trial.summed_kl), percent(trial.top1.value),
            )
        )  # fmt: skip
    out.table(HEADER, rows, right=(2, 3, 4, 5, 6, 7))
    out.result(found.reason)
    if found.recipe:
        out.result(_yaml(found.recipe).rstrip())
    if place:
        asked = f"KL {found.max_kl:g}" if found.max_kl is not None else size(found.max_bytes or 0)
        out.say(f"recipe for {asked}: {place}; `edgeconv run {place}` makes it.")

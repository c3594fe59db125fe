"""A sensitivity for people: rows of a table, and the folder that `--output` asks for."""

from __future__ import annotations

from pathlib import Path

from ...validate.report.html import plain
from ...validate.report.words import percent, significant
from ...validate.report.write import write_file
from . import picture
from .model import Sensitivity

HEADER = ("part", "stored as", "MB saved", "mean KL", "95 % interval", "top-1", "KL a MB")
RIGHT = (2, 3, 4, 5, 6)
PAGE = "sensitivity.html"
FILES = ("sensitivity.json", "sensitivity.svg", PAGE)
"""What `write` writes, in its order."""


def rows(found: Sensitivity) -> list[tuple[str, ...]]:
    """Return a row for each part, the most sensitive first."""
    made: list[tuple[str, ...]] = []
    for part in sorted(found.parts, key=lambda part: -part.mean_kl.value):
        kl = part.mean_kl
        ends = f"{significant(kl.low)} to {significant(kl.high)}" if kl.low is not None and kl.high is not None else ""
        made.append(
            (
                part.name, ", ".join(f"{count} {name}" if count > 1 else name for name, count in part.stored_as.items()),
                f"{part.saved / 1e6:,.2f}", significant(kl.value), ends, percent(part.top1.value) if part.top1 else "",
                significant(kl.value / (part.saved / 1e6)) if part.saved > 0 else "",
            )
        )  # fmt: skip
    return made


def lead(found: Sensitivity) -> str:
    """Say in a sentence what the figures are."""
    how = "run in full" if found.method == "exact" else "estimated to second order"
    return (
        f"KL(reference ‖ one {found.by} in {found.precision}), {how}, on {found.tokens:,} tokens of the suite "
        f"{found.suite} in {found.documents} windows."
    )


def notes(found: Sensitivity) -> list[str]:
    """Say what must be known beside the figures."""
    return found.notes


def write(found: Sensitivity, folder: Path) -> None:
    """Write sensitivity.json, .svg and .html into a folder, each whole or not at all.

    Raises:
        OutputError: a file cannot be written.
    """
    drawn = picture.draw(found)
    title = f"Sensitivity of {found.model} to {found.precision}"
    html = plain.page(title, lead(found), drawn, HEADER, rows(found), right=RIGHT, notes=notes(found))
    for name, text in zip(FILES, (found.model_dump_json(indent=1) + "\n", str(drawn), html), strict=True):
        write_file(folder / name, text)

"""A frontier for people: rows of a table, and the folder that `--output` asks for."""

from __future__ import annotations

from pathlib import Path

from ...validate.report.html import plain
from ...validate.report.words import percent, significant
from ...validate.report.write import write_file
from . import picture
from .model import Frontier

HEADER = ("", "format", "stored as", "MB", "bits per weight", "mean KL", "95 % interval", "top-1")
RIGHT = (3, 4, 5, 6, 7)
PAGE = "frontier.html"
FILES = ("frontier.json", "frontier.svg", PAGE)
"""What `write` writes, in its order."""
MARK = "●"
"""Stands before points that no other point beats."""


def rows(found: Frontier) -> list[tuple[str, ...]]:
    """Return a row for each point, the smallest first."""
    made: list[tuple[str, ...]] = []
    for point in found.points:
        kl = point.mean_kl
        ends = f"{significant(kl.low)} to {significant(kl.high)}" if kl.low is not None and kl.high is not None else ""
        made.append(
            (
                MARK if point.front else "", point.format, point.label, f"{point.bytes / 1e6:,.2f}",
                f"{point.bits_per_weight:.2f}", significant(kl.value), ends, percent(point.top1.value),
            )
        )  # fmt: skip
    return made


def lead(found: Frontier) -> str:
    """Say in a sentence what the figures are."""
    some = f"about {found.tokens:,} tokens" if found.tokens else "all tokens"
    return (
        f"KL of each artifact, in its own runtime reference precision, beside {found.model} in float32, on {some} of the "
        f"suite {found.suite}. {MARK}: no smaller artifact is better."
    )


def notes(found: Frontier) -> list[str]:
    """Say what was left out, and why."""
    return [f"{name} was left out: {reason}" for name, reason in found.left_out.items()]


def write(found: Frontier, folder: Path) -> None:
    """Write frontier.json, .svg and .html into a folder, each whole or not at all.

    Raises:
        OutputError: a file cannot be written.
    """
    drawn = picture.draw(found)
    title = f"The frontier of {found.model}"
    html = plain.page(title, lead(found), drawn, HEADER, rows(found), right=RIGHT, notes=notes(found))
    for name, text in zip(FILES, (found.model_dump_json(indent=1) + "\n", str(drawn), html), strict=True):
        write_file(folder / name, text)

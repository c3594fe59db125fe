"""What `edgeconv sensitivity`, `frontier` and `search` share: whose model, on which texts, and how the result is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..core.own_text import require_own
from .output import Output


class Report(Protocol):
    """The module that says a result to people."""

    @property
    def HEADER(self) -> Sequence[str]:  # noqa: N802 - a module's constant
        """Names of the columns."""

    @property
    def RIGHT(self) -> Sequence[int]:  # noqa: N802
        """Columns that are flush right."""

    @property
    def PAGE(self) -> str:  # noqa: N802
        """Name of the page that `write` writes."""

    @property
    def FILES(self) -> Sequence[str]:  # noqa: N802
        """Names of all that `write` writes."""

    def rows(self, found: Any) -> list[tuple[str, ...]]:
        """Rows of the table."""

    def lead(self, found: Any) -> str:
        """What the figures are, in a sentence."""

    def notes(self, found: Any) -> Iterable[str]:
        """What must be said beside them."""

    def write(self, found: Any, folder: Path) -> None:
        """Write JSON, picture and page."""


def require_free(report: Report, folder: Path | None) -> None:
    """Refuse, before hours of work, to write over what edgeconv did not write. Raises OutputError."""
    if folder is not None:
        for name in report.FILES:
            require_own(folder / name)


def show(out: Output, found: Any, report: Report, folder: Path | None) -> None:
    """Write the files that were asked for, and show the table, or JSON.

    Raises:
        OutputError: a file cannot be written.
    """
    if folder:
        report.write(found, folder)
    if out.json:
        out.data(found.model_dump(mode="json"))
        return
    out.table(report.HEADER, report.rows(found), right=report.RIGHT)
    out.say(report.lead(found))
    for note in report.notes(found):
        out.say(f"note: {note}")
    if folder:
        out.say(f"picture: {folder / report.PAGE}")

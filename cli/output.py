"""What a command says and where: results on stdout (text or JSON), everything else on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from ..core import escape
from ..core.progress import Progress, Silent
from . import quiet

if TYPE_CHECKING:
    from rich.console import Console

_NO_WRAP = 10_000
"""Columns of a line that is not meant for a screen: never wrapped."""


@dataclass(frozen=True)
class Output:
    """The modes of one command: people, programs (`--json`), silence (`-q`), detail (`-v`)."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def result(self, text: str) -> None:
        """Print one line of the result on stdout."""
        sys.stdout.write(escape.terminal(text) + "\n")

    def data(self, value: Any) -> None:
        """Print a JSON document on stdout."""
        from pydantic_core import to_json  # ten times as fast as json on a report of 14,000 tokens

        sys.stdout.write(escape.json(to_json(value, indent=1, serialize_unknown=True).decode()) + "\n")

    def say(self, text: str = "") -> None:
        """Print one line for people on stderr, unless `-q`."""
        if not self.quiet:
            sys.stderr.write(escape.terminal(text) + "\n")

    def pairs(self, rows: Sequence[tuple[str, str]], stream: TextIO | None = None) -> None:
        """Print label and value, a line each."""
        self.table((), [(f"{label}:", value) for label, value in rows], stream=stream)

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (),
        stream: TextIO | None = None,
    ) -> None:  # fmt: skip
        """Print aligned columns, those in `right` flush right; to stdout unless told otherwise."""
        from rich.table import Table

        stream = stream or sys.stdout
        screen = console(stream)
        grid = Table(box=None, pad_edge=False, show_header=bool(header), padding=(0, 3, 0, 0), header_style="bold")
        for column in range(len(header) or max(map(len, rows), default=0)):
            grid.add_column(
                header[column] if header else "", justify="right" if column in right else "left", overflow="fold"
            )
        for row in rows:
            grid.add_row(*map(escape.terminal, row))
        with screen.capture() as text:
            screen.print(grid)
        stream.write("\n".join(line.rstrip() for line in text.get().splitlines()) + "\n")

    @contextlib.contextmanager
    def working(self) -> Iterator[Progress]:
        """Give a Progress that shows steps on stderr; meanwhile stdout is kept clear of libraries' messages.

        Where stderr is not a terminal, `--json` silences the steps, so that stderr is empty or one JSON object.
        """
        from .progress import LineProgress, bars

        with quiet.libraries(verbose=self.verbose):
            if sys.stderr.isatty() and not self.quiet:
                with bars(console(sys.stderr), verbose=self.verbose) as progress:
                    yield progress
            elif self.quiet or (self.json and not self.verbose):
                yield Silent()
            else:
                yield LineProgress(self.say, verbose=self.verbose)


def console(stream: TextIO) -> Console:
    """Return a rich console that takes text as it is; it honors NO_COLOR and a stream that is not a terminal."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False, width=None if stream.isatty() else _NO_WRAP)


def paint(text: str, code: str, stream: TextIO) -> str:
    """Wrap `text` in an ANSI style if the stream is a terminal and the user has not set NO_COLOR."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def size(count: float) -> str:
    """Write a number of bytes in decimal units, as disks are sold and `df -H` counts."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Write seconds for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"

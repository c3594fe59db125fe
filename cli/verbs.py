"""Writes the table of commands and formats into README.md: `python -m edgeconv.cli.verbs [--check] FILE`.

A cell says yes where the command's own table has the format; nothing of it is stated here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection
from pathlib import Path

import typer.main

from ..convert.conversion import FORMATS
from ..publish.card_usage import SNIPPETS
from ..recipes.load import TARGETS
from ..runtimes.smoke import TRIED
from ..study.bench.formats import BENCHES
from ..study.points import HEADS
from ..study.search.spaces import SPACES
from ..validate.formats import ARTIFACTS
from .app import app
from .chat_models import CHATS
from .inspect import SHOWN

BEGIN, END = "<!-- Written by `make docs`. -->", "<!-- /Written -->"
BY_FORMAT: dict[str, Collection[str]] = {
    "inspect": SHOWN,
    "validate": ARTIFACTS,
    "chat": CHATS,
    "bench": BENCHES,
    "frontier": HEADS,
    "search": SPACES,
    "run": TARGETS,
    "recipes": TARGETS,
    "publish": SNIPPETS,
    "doctor": FORMATS,
    "verify": FORMATS,
    "diff": FORMATS,
}
"""Of each command that takes, makes or plans an artifact: the formats that it knows. Verify and diff go by the manifest alone."""
WITHOUT = ("sensitivity", "demo", "cache")
"""Commands that have to do with no artifact: a checkpoint, the built-in model, this machine."""


def render() -> str:
    """Return the table."""
    names = list(FORMATS)
    head = [f"| command | {' | '.join(FORMATS[name].title for name in names)} |", f"| --- |{' --- |' * len(names)}"]
    rows = [["convert", *(f"`edgeconv {name}`" if name in _commands() else "no" for name in names)]]
    rows += [["the conversion's smoke test", *(FORMATS[name].runner.name if name in TRIED else "no" for name in names)]]
    rows += [[f"`{verb}`", *("yes" if name in known else "no" for name in names)] for verb, known in BY_FORMAT.items()]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _commands() -> Collection[str]:
    return typer.main.get_command(app).commands  # type: ignore[attr-defined,no-any-return]


def unplaced() -> list[str]:
    """Return the commands that the table does not account for."""
    return [name for name in _commands() if name not in {*FORMATS, *BY_FORMAT, *WITHOUT}]


def replaced(text: str) -> str:
    """Put the table between its marks.

    Raises:
        ValueError: the marks are not there.
    """
    block = f"{BEGIN}\n{render()}\n{END}"
    new, count = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the marks {BEGIN} … {END} stand {count} times in the file, not once")
    return new


def main() -> int:
    """Write the file, or with `--check` say whether it is current."""
    parser = argparse.ArgumentParser(prog="python -m edgeconv.cli.verbs", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the file is not current")
    options = parser.parse_args()
    found = options.file.read_text("utf-8")
    wanted = replaced(found)
    if not options.check:
        options.file.write_text(wanted, "utf-8")
    elif found != wanted:
        sys.stderr.write(f"The table of commands in {options.file} is not current: run `make docs`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

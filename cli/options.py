"""Options that several commands share, so that they are spelled and explained alike everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import typer


def choice(values: Sequence[str]) -> click.Choice[str]:
    """Return the parameter type of an option that takes one of `values`."""
    return click.Choice(list(values))


RecipeFiles = Annotated[
    Path | None,
    typer.Option(
        "--files",
        metavar="DIR",
        help="Folder that a recipe's files (suite, calibration, imatrix) lie in, instead of its own.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; errors are JSON on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result and errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more: details, the libraries' own messages, tracebacks.")
]
Device = Annotated[str, typer.Option("--device", help="The OpenVINO device to run on, for example CPU or GPU.")]

"""Options that say how a command runs, whatever it does, so that they are spelled and explained alike everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; errors are JSON on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result and errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more: details, the libraries' own messages, tracebacks.")
]

"""`edgeconv cache`: the reference passes that validations keep."""

from __future__ import annotations

import typer

from .options import Json
from .output import Output, size

cache = typer.Typer(help="The reference passes that validations keep.", no_args_is_help=True, rich_markup_mode=None)


@cache.command("ls")
def ls(json: Json = False) -> None:
    """List what is kept, and where."""
    from ..validate.cache import entries, folder

    out = Output(json=json)
    kept = entries()
    if json:
        out.data({"folder": str(folder()), "entries": [entry.__dict__ for entry in kept]})
        return
    rows = [(entry.key[:12], f"{size(entry.size)}, {entry.tokens:,} tokens: {entry.description}") for entry in kept]
    out.pairs([("folder", str(folder())), *rows])


@cache.command("clear")
def clear() -> None:
    """Remove all of it; the next validation computes its reference again."""
    from ..validate.cache import clear as empty

    Output().pairs([("freed", size(empty()))])

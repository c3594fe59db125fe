"""`edgeconv cache`: what validations and calibrated conversions keep to be quicker the next time."""

from __future__ import annotations

import typer

from .options import Json
from .output import Output, size

cache = typer.Typer(
    help="The reference passes that validations keep, and the activations of calibration texts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@cache.command("ls")
def ls(json: Json = False) -> None:
    """List what is kept, and where."""
    from ..convert.openvino import data_aware
    from ..validate.cache import entries, folder

    out = Output(json=json)
    kept, measured = entries(), data_aware.entries()
    if json:
        out.data({"folder": str(folder()), "entries": [entry.__dict__ for entry in kept],
                  "statistics": [entry.__dict__ for entry in measured]})  # fmt: skip
        return
    rows = [(entry.key[:12], f"{size(entry.size)}, {entry.tokens:,} tokens: {entry.description}") for entry in kept]
    rows += [(entry.key[:12], f"{size(entry.size)}, {entry.inputs} inputs of layers") for entry in measured]
    out.pairs([("folder", str(folder())), *rows])


@cache.command("clear")
def clear() -> None:
    """Remove all of it; the next validation computes its reference, the next conversion its activations again."""
    from ..core.cache_folder import cache_folder
    from ..core.cache_folder import clear as empty

    freed, left = empty()
    rows = [("freed", size(freed))]
    if left:
        rows.append(("left", f"{', '.join(path.name for path in left)} in {cache_folder()}: not edgeconv's, or in use"))
    Output().pairs(rows)

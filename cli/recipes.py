"""`edgeconv recipes`: list, show, check and begin recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core import limits
from ..core.errors import OutputError
from ..core.option import declared
from ..recipes.options import RunOptions
from .declared import flags
from .options import Json, Quiet
from .output import Output

recipes = typer.Typer(no_args_is_help=True, help="List, show, check and begin recipes.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A recipe that comes with edgeconv, or a file.")]
Files = Annotated[Path | None, flags(declared(RunOptions)["files"])]


@recipes.command("ls")
def ls(*, json: Json = False, quiet: Quiet = False) -> None:
    """List the recipes that come with edgeconv."""
    from ..recipes.load import load, shipped

    out = Output(json=json, quiet=quiet)
    found = {name: load(path) for name, path in shipped().items()}
    if out.json:
        out.data([{"name": name, "source": r.source.model, "targets": list(r.targets)} for name, r in found.items()])
        return
    rows = [[name, recipe.source.model, ", ".join(recipe.targets)] for name, recipe in found.items()]
    out.table(["Recipe", "Source", "Targets"], rows)


@recipes.command("show")
def show(name: Name, *, json: Json = False, quiet: Quiet = False) -> None:
    """Print a recipe as it is written; as JSON with every default."""
    from ..recipes.load import find, load

    out = Output(json=json, quiet=quiet)
    path = find(name)
    recipe = load(path)
    if out.json:
        out.data(recipe.model_dump(mode="json"))
    else:
        out.result(limits.read_text(path, limits.RECIPE, OutputError).rstrip("\n"))


@recipes.command("validate")
def validate(name: Name, *, files: Files = None, json: Json = False, quiet: Quiet = False) -> None:
    """Check a recipe without asking the Hub anything. Exits with 2, and says file and line, if something is wrong."""
    from ..recipes.load import find, load
    from ..recipes.publication import require_apart
    from ..recipes.unit import Consent, units

    out = Output(json=json, quiet=quiet)
    path = find(name)
    found = units(load(path), path, Path(), files=files, consent=Consent(trust_remote_code=True))  # nothing runs here
    require_apart(found)
    if out.json:
        out.data({"file": str(path), "units": [unit.name for unit in found]})
        return
    out.result(f"{path}: {len(found)} targets, all right")


@recipes.command("new")
def new(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    *,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="ID|DIR", help="The source.")
    ] = "THUDM/glm-edge-1.5b-chat",
    quiet: Quiet = False,
) -> None:
    """Write a recipe to begin with."""
    from ..recipes.load import begin

    if output.exists():
        raise OutputError(f"{output} exists.", "Choose another name.")
    output.write_text(begin(model, output.stem), "utf-8")
    Output(quiet=quiet).result(str(output))

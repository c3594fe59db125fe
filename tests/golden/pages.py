"""What the program writes about itself: help, documents, schemas, and model cards."""

from __future__ import annotations

from pathlib import Path

import click
import typer.main

from edgeconv.cli import reference
from edgeconv.cli.app import app
from edgeconv.core.progress import Silent
from edgeconv.publish import card as cards
from edgeconv.publish import gate
from edgeconv.recipes import schema
from edgeconv.study import schemas


def texts() -> dict[str, str]:
    """Return name → text of every help page and every generated document."""
    found = dict(_help(typer.main.get_command(app), "edgeconv", None))
    found["docs/cli.md"] = reference.render()
    found["docs/recipe.schema.json"] = schema.render()
    found |= {f"docs/{name}.schema.json": schemas.render(Path(f"{name}.schema.json")) for name in schemas.MODELS}
    return found


def card(out: Path) -> str:
    """Return the model card of an artifact that was not validated."""
    cleared = gate.clear(out, Silent(), allow_unvalidated=True)
    try:
        return cards.render(cleared, "org/name")
    finally:
        cleared.close()


def _help(command: click.Command, name: str, parent: click.Context | None) -> list[tuple[str, str]]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
    found = [(f"{context.command_path} --help", command.get_help(context))]
    for inner_name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        found += _help(inner, inner_name, context)
    return found

"""Which other command would take a checkpoint that one format cannot express: asked, not guessed, before a hint names it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from ..core.errors import CheckpointError, EdgeconvError
from .program.task import Task


class InexpressibleError(CheckpointError):
    """A format, or its runtime, cannot express the model; another may."""

    usual_hint = "Another format may take it."


def takes(command: str, config: dict[str, Any], names: Collection[str], sentence: Task | None = None) -> bool:
    """Tell whether a command would take a checkpoint; arguments as of `Format.require`."""
    from .conversion.formats import FORMATS

    try:
        FORMATS[command].require(config, names, sentence)
    except EdgeconvError:
        return False
    return True


def hint(command: str, config: dict[str, Any], names: Collection[str], sentence: Task | None = None) -> str:
    """Return a sentence that names the commands beside `command` that take the checkpoint."""
    from .conversion.formats import FORMATS

    others = [f"`edgeconv {other}`" for other in FORMATS if other != command and takes(other, config, names, sentence)]
    if not others:
        return "edgeconv's other formats do not take it either."
    return f"{' and '.join(others)} {'take' if len(others) > 1 else 'takes'} it."


@contextmanager
def named(command: str, config: dict[str, Any], names: Collection[str], sentence: Task | None = None) -> Iterator[None]:
    """Put behind the hint of what the body cannot express which commands can."""
    try:
        yield
    except InexpressibleError as error:
        own = "" if error.hint == InexpressibleError.usual_hint else f"{error.hint} "
        raise CheckpointError(error.message, own + hint(command, config, names, sentence)) from error

"""Makes the parameters of a command out of the options that a format declares (`convert.options`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import typer

from ..convert.options import Declared, declared
from ..convert.options.option import OptionsT, made
from .options import choice

HowT = TypeVar("HowT")


def command(
    options: type[OptionsT],
    body: Callable[[OptionsT, HowT], None],
    how: Callable[..., HowT],
    parameters: Iterable[inspect.Parameter],
) -> Callable[..., None]:
    """Return a function that Typer makes a command of.

    Args:
        options: what a format declares; its parameters come first, in their order.
        body: what the command does; its docstring is the help.
        how: makes the second argument of `body`, of what is no option of a format: how the program runs.
        parameters: of `how`, as Typer reads them.
    """
    known = declared(options)

    def run(**given: Any) -> None:
        asked = made(options, {name: given.pop(name) for name in known})
        body(asked, how(**given))

    run.__doc__, run.__name__ = body.__doc__, body.__name__
    run.__signature__ = inspect.Signature([*map(parameter, known.values()), *parameters])  # type: ignore[attr-defined]
    return run


def parameter(one: Declared) -> inspect.Parameter:
    """Return the parameter of one option."""
    kind: Any = str if one.option.choices else one.base  # click compares texts, `Declared.taken` makes numbers of them
    default = one.default
    if one.repeatable:
        kind, default = list[kind] | None, None
    elif one.optional:
        kind = kind | None
    elif one.required:
        default = inspect.Parameter.empty
    elif one.option.choices:
        default = str(default)
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, flags(one)]
    )


def flags(one: Declared) -> Any:
    """Return what Typer knows of an option: spelling, help, and the values that there are."""
    option = one.option
    spelled = [one.flag, *([option.short] if option.short else [])]
    values = choice([str(value) for value in option.choices]) if option.choices else None
    return typer.Option(*spelled, help=option.help, metavar=option.metavar, click_type=values)

"""Makes the parameters of a command out of the options that it declares (`core.option`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import click
import typer

from ..core.option import Declared, OptionsT, declared, made
from .options import Json, Quiet, Verbose
from .output import Output

HowT = TypeVar("HowT")


def takes(options: type[OptionsT]) -> Callable[[Callable[[OptionsT, Output], None]], Callable[..., None]]:
    """Make a command of the decorated function: its parameters are `options`, and what is said of the run."""
    return lambda body: command(options, body, _output, parameters_of(_output))


def _output(*, json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> Output:
    return Output(json=json, quiet=quiet, verbose=verbose)


def parameters_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function as Typer reads them."""
    return dict(inspect.signature(function, eval_str=True).parameters)


def command(
    options: type[OptionsT],
    body: Callable[[OptionsT, HowT], None],
    how: Callable[..., HowT],
    parameters: Mapping[str, inspect.Parameter],
) -> Callable[..., None]:
    """Return a function that Typer makes a command of.

    Args:
        options: what is declared; its parameters come first, in their order.
        body: what the command does; its docstring is the help.
        how: makes the second argument of `body`, of what is not declared there: how the program runs.
        parameters: of `how`, as Typer reads them.
    """
    known = declared(options)

    def run(**given: Any) -> None:
        asked = made(options, {name: given.pop(name) for name in known})
        body(asked, how(**given))

    run.__doc__, run.__name__ = body.__doc__, body.__name__
    signature = inspect.Signature([*map(parameter, known.values()), *parameters.values()])
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def parameter(one: Declared) -> inspect.Parameter:
    """Return the parameter of one option."""
    default = _default(one)
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation(one))


def annotation(one: Declared) -> Any:
    """Return the type of one option's parameter, with all that Typer knows of it."""
    kind: Any = str if one.option.choices else one.base  # click compares texts, `Declared.taken` makes numbers of them
    if one.mapping:
        kind = str  # NAME=VALUE
    if one.mapping or one.repeatable:
        kind = list[kind]
    optional = one.optional or ((one.mapping or one.repeatable) and not one.required)
    return Annotated[kind | None if optional else kind, flags(one)]


def _default(one: Declared) -> Any:
    if one.required:
        return inspect.Parameter.empty
    if one.mapping or one.repeatable:
        return None
    return str(one.default) if one.option.choices and one.default is not None else one.default


def flags(one: Declared) -> Any:
    """Return what Typer knows of an option beside its type: spelling, help, and the values that there are."""
    option = one.option
    facts: dict[str, Any] = {"help": option.help, "metavar": option.metavar}
    if option.argument:
        return typer.Argument(**facts)
    if option.choices:
        facts["click_type"] = click.Choice([str(value) for value in option.choices])
    if option.bounded:
        facts |= {"min": option.least, "max": option.most}
    return typer.Option(one.flag, *([option.short] if option.short else []), **facts)

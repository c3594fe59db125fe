"""Makes a section of a recipe of the options of a command: its fields are those that are declared (`core.option`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, create_model

from ..core.option import Declared, Options, Section, of

ModelT = TypeVar("ModelT", bound=BaseModel)


def has(options: type[Options], section: Section = "own") -> Callable[[type[ModelT]], type[ModelT]]:
    """Give the decorated model a field for each option of a command that belongs into a section of a recipe."""

    def complete(model: type[ModelT]) -> type[ModelT]:
        added: dict[str, Any] = {name: _field(one) for name, one in of(options, section).items()}
        made: type[ModelT] = create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **added
        )
        return made

    return complete


def _field(one: Declared) -> tuple[Any, Any]:
    """Return type and default, as pydantic takes them."""
    option = one.option
    kind: Any = str if one.base is Path else one.base
    if option.choices:
        kind = _among(kind, list(option.choices))
    if one.mapping:
        kind = dict[str, kind]
    elif one.repeatable:
        kind = list[kind]
    elif one.optional:
        kind = kind | None
    facts: dict[str, Any] = {"description": option.recipe_help or option.help, "ge": option.least, "le": option.most}
    if one.required:
        return kind, Field(**facts)
    return kind, Field([] if one.repeatable else one.default, **facts)


def _among(base: type, choices: list[Any]) -> Any:
    """Return the type of one of `choices`, with the words for the JSON schema, from which editors complete."""
    if base is not str:
        return Literal[tuple(choices)]

    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}")
        return value

    return Annotated[str, AfterValidator(check), Field(json_schema_extra={"enum": choices})]

"""How an option is declared, and what is read out of a declaration.

A command's options are a class beside what it is about: `convert.options` has one for each format, `validate.options`,
`publish.options`, `study.options`, `runtimes.options` and `recipes.options` those of the other commands. Plain dataclasses, for
pydantic takes 0.1 s to import: `recipes.section` makes its models of them, `cli.declared` the parameters of commands.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from .errors import UsageError

Section = Literal["own", "source", "run"]
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Option:
    """What an option is, beside its name, type and default: `name: Annotated[type, Option(…)] = default`.

    Attributes:
        help: for the command line, and for a recipe's schema if `recipe_help` does not say it better.
        argument: whether its value stands on the command line by itself, without a flag.
        flag: its spelling, with "/" before the one that says no; None: "--" and the name.
        short: a second spelling, of one letter.
        metavar: stands for the value in help.
        choices: the values that there are; empty: any.
        least, most: bounds of a number in a recipe. On a command line a rule of the format refuses it, and says why.
        bounded: whether the command line, too, holds the number to them.
        example: of a value; what a wrong one is answered with.
        section: where a recipe has it: in the section that stands for the command (a target, its `publish`), in its source, or
            nowhere, for it says how the program runs.
        point: whether a frontier's or a search's point may state it.
        file: whether it names a file, which for a recipe lies in its folder.
        words: values of such an option that are no files.
        recipe_help: what the recipe's schema says of it.
    """

    help: str
    argument: bool = False
    flag: str | None = None
    short: str | None = None
    metavar: str | None = None
    choices: Sequence[str | int] = ()
    least: float | None = None
    most: float | None = None
    bounded: bool = False
    example: str | None = None
    section: Section = "own"
    point: bool = True
    file: bool = False
    words: Sequence[str] = ()
    recipe_help: str | None = None


@dataclass(frozen=True)
class Options:
    """Base of each command's options, whose fields stand in the order of its help."""


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Declared:
    """One option as it was read out of a class.

    Attributes:
        name: of the field, everywhere.
        base: str, int, float, bool or Path.
        optional: whether None is a value, which means "you choose".
        repeatable: whether it is a tuple of `base`.
        mapping: whether it maps names to `base`: NAME=VALUE on a command line, which is repeatable.
        default: MISSING if it must be given.
        option: the rest.
    """

    name: str
    base: type
    optional: bool
    repeatable: bool
    mapping: bool
    default: Any
    option: Option

    @property
    def required(self) -> bool:
        """True if it must be given."""
        return self.default is MISSING

    @property
    def flag(self) -> str:
        """Its spelling on a command line."""
        return self.option.flag or "--" + self.name.replace("_", "-")

    def spelled(self, value: Any) -> list[str]:
        """Return the words of a command line that state a value; what is left out anyway needs none."""
        if self.repeatable:
            return [word for one in value for word in (self.flag, str(one))]
        if not isinstance(value, bool):
            return [] if value is None else [self.flag, str(value)]
        yes, _, no = self.flag.partition("/")
        return [yes] if value else [no] if no else []

    def read(self, text: str | None) -> Any:
        """Return the value that a text states, of a file its name; None: the option stood alone, which is enough for a flag.

        Raises:
            UsageError: it is no value of the option.
        """
        wanted = "one of " + ", ".join(map(str, self.option.choices)) if self.option.choices else _WORDS.get(self.base)
        if text is None and self.base is not bool:
            raise UsageError(f"{self.name} has no value.", f"Say {self.name}=VALUE; it is {wanted or 'a text'}.")
        if self.base is bool:
            value: Any = {"true": True, "false": False}.get(text or "true")
        else:
            value = _read(str if self.base is Path else self.base, str(text))
        if value is None or (self.option.choices and value not in self.option.choices):
            raise UsageError(f"{self.name}={text} cannot be.", f"{self.name} is {wanted}.")
        return value

    def taken(self, value: Any) -> Any:
        """Return a value, as a command line or a recipe has it, in the type of the field."""
        if self.mapping:
            return dict(value if isinstance(value, Mapping) else map(self._pair, value or ()))
        if self.repeatable:
            return tuple(value or ())
        return value if value is None or isinstance(value, self.base) else self.base(value)

    def _pair(self, text: str) -> tuple[str, Any]:
        name, _, value = text.partition("=")
        found = _read(self.base, value)
        if found is None:
            raise UsageError(
                f"{self.flag} {text} is not {self.option.metavar}.", f"For example {self.flag} {self.option.example}."
            )
        return name.strip(), found


def _read(base: type, text: str) -> Any:
    """Read a text; None if it is no `base`."""
    try:
        value = base(text)
    except ValueError:
        return None
    return value if base is not float or math.isfinite(value) else None


def declared(options: type[Options]) -> dict[str, Declared]:
    """Return the options of a class by name, in their order.

    Raises:
        TypeError: a field has no `Option`.
    """
    return {one.name: _declared(one) for one in fields(options)}


def _declared(field: Field[Any]) -> Declared:
    if get_origin(field.type) is not Annotated:
        raise TypeError(f"{field.name} is not declared as Annotated[…, Option(…)]")
    kind, option = get_args(field.type)
    union = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    (base,) = (one for one in union if one is not type(None))
    repeatable, mapping = get_origin(base) is tuple, get_origin(base) is Mapping
    if repeatable or mapping:
        base = get_args(base)[int(mapping)]
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return Declared(field.name, base, len(union) > 1, repeatable, mapping, default, option)


def made(options: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """Make the options of values as a command line or a recipe has them; what is not given has its default."""
    known = declared(options)
    return options(**{name: known[name].taken(value) for name, value in given.items()})


def of(options: type[Options], section: Section) -> dict[str, Declared]:
    """Return the options that a recipe has in one section ("own", "source"; "run": nowhere)."""
    return {name: one for name, one in declared(options).items() if one.option.section == section}


def into(given: Options, kind: Any) -> dict[str, Any]:
    """Return what was asked, of those fields of `kind`, a dataclass, that are options."""
    known = declared(type(given))
    return {one.name: getattr(given, one.name) for one in fields(kind) if one.name in known}


def files_of(given: Options) -> dict[str, Path]:
    """Return the files that were named, by option."""
    names = {name: one.option.words for name, one in declared(type(given)).items() if one.option.file}
    found = {name: getattr(given, name) for name in names}
    return {name: Path(value) for name, value in found.items() if value is not None and value not in names[name]}

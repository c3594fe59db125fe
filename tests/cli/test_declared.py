"""Options stand in one place each: a command's body is short, and spells none of them itself."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import click
import pytest
import typer
import typer.main

import edgeconv
from edgeconv.cli.app import app
from edgeconv.cli.declared import takes
from edgeconv.cli.output import Output
from edgeconv.convert.options import GgufOptions, OnnxOptions, OpenVINOOptions
from edgeconv.core.errors import UsageError
from edgeconv.core.option import Option, Options, declared
from edgeconv.publish.options import PublishOptions
from edgeconv.recipes.options import RunOptions
from edgeconv.runtimes.options import ChatOptions
from edgeconv.study.options import BenchOptions, DoctorOptions, FrontierOptions, SearchOptions, SensitivityOptions
from edgeconv.validate.options import ValidateOptions

CLI = Path(edgeconv.__file__).resolve().parent / "cli"
SCREEN = 50
"""Lines that a function may have, its help included."""
COMMANDS: dict[str, type[Options]] = {
    "openvino": OpenVINOOptions, "gguf": GgufOptions, "onnx": OnnxOptions, "validate": ValidateOptions,
    "publish": PublishOptions, "run": RunOptions, "chat": ChatOptions, "bench": BenchOptions,
    "frontier": FrontierOptions, "search": SearchOptions, "sensitivity": SensitivityOptions,
    "doctor": DoctorOptions,
}  # fmt: skip
OF_A_RUN = {"json", "quiet", "verbose"}
CONVERTS = {"validate", "budget", "smoke_test", "dry_run"}
"""What every command that converts has beside its format's options."""


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield path.name, node


def test_every_function_fits_a_screen() -> None:
    found = list(functions())
    assert len(found) > 150
    assert [(file, one.name) for file, one in found if (one.end_lineno or 0) - one.lineno + 1 > SCREEN] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_options_that_are_declared_and_no_others(name: str) -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, click.Group)
    names = [str(one.name) for one in root.commands[name].params]
    known = list(declared(COMMANDS[name]))
    assert names[: len(known)] == known
    assert set(names[len(known) :]) - {"help"} <= OF_A_RUN | (CONVERTS if len(known) > 15 else set())


def test_the_commands_that_spell_their_options_have_few() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, click.Group)
    for name in set(root.commands) - set(COMMANDS):
        assert len(root.commands[name].params) <= 7, name


@dataclass(frozen=True, kw_only=True)
class Toy(Options):
    places: Annotated[tuple[Path, ...], Option("Where.", argument=True, metavar="PLACE…")]
    limits: Annotated[Mapping[str, int], Option("How far.", metavar="NAME=N", example="far=3")] = field(
        default_factory=dict
    )
    rounds: Annotated[int | None, Option("How often.", metavar="N", least=2, most=4, bounded=True)] = None


def asked(*words: str) -> Any:
    given: list[Any] = []

    @takes(Toy)
    def toy(asked: Toy, out: Output) -> None:
        """Play."""
        given.append((asked, out.json))

    one = typer.Typer(rich_markup_mode=None)
    one.command("toy")(toy)
    typer.main.get_command(one).main(list(words), standalone_mode=False)
    return given[0]


def test_arguments_mappings_and_bounds() -> None:
    assert asked("a") == (Toy(places=(Path("a"),)), False)
    made, json = asked("a", "b", "--limits", "x=1", "--limits", " y =2", "--rounds", "4", "--json")
    assert made == Toy(places=(Path("a"), Path("b")), limits={"x": 1, "y": 2}, rounds=4)
    assert json


@pytest.mark.parametrize("wrong", ["x", "x=", "x=one", "=", "x=1.5"])
def test_a_mapping_with_a_wrong_value_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=N") as caught:
        asked("a", "--limits", wrong)
    assert caught.value.hint == "For example --limits far=3."


@pytest.mark.parametrize("words", [(), ("a", "--rounds", "1"), ("a", "--rounds", "5")])
def test_what_is_missing_or_out_of_bounds_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        asked(*words)

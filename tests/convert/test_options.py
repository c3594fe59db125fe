"""An option that a format declares is there for everybody: command line, recipe, its schema, points and docs."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
import typer
import typer.main
from pydantic import BaseModel, ConfigDict, ValidationError

from edgeconv.cli import conversion, reference
from edgeconv.convert.conversion.gguf_plan import GgufJob
from edgeconv.convert.conversion.jobs import Circumstances, job
from edgeconv.convert.conversion.onnx_plan import OnnxJob
from edgeconv.convert.conversion.openvino_plan import Job
from edgeconv.convert.options import OF_FORMAT, Declared, Option, Options, declared, shared
from edgeconv.core.errors import UsageError
from edgeconv.core.option import files_of, of
from edgeconv.quantize.scheme import Request
from edgeconv.recipes.model import Source
from edgeconv.recipes.section import has
from edgeconv.study import points


@dataclass(frozen=True, kw_only=True)
class Toy(Options):
    model: shared.Model
    depth: Annotated[int | None, Option("How deep.", metavar="N", least=1, most=9)] = None


@dataclass(frozen=True, kw_only=True)
class More(Toy):
    shade: Annotated[str, Option("Which one.", short="-s", choices=("red", "blue"), recipe_help="Its color.")] = "red"
    rule: Annotated[tuple[str, ...], Option("A rule. Repeatable.", metavar="RULE")] = ()
    level: Annotated[int, Option("How far.", choices=(0, 4))] = 4
    text: Annotated[Path | None, Option("A file.", metavar="FILE", file=True, words=("own",))] = None
    loud: Annotated[bool | None, Option("Or not.", flag="--loud/--still")] = None
    hidden: Annotated[bool, Option("Says nothing of the artifact.", section="run")] = False
    outside: Annotated[bool, Option("No point has it.", point=False)] = False


def command(options: type[Options], seen: list[Any]) -> click.Command:
    @conversion.command(options, validate="the toy.")
    def toy(asked: Any, how: conversion.How) -> None:
        """Make a toy."""
        seen.append((asked, how))

    app = typer.Typer(rich_markup_mode=None)
    app.command("toy")(toy)
    return typer.main.get_command(app)


def target(options: type[Options]) -> type[BaseModel]:
    @has(options)
    class Target(BaseModel):
        """A target."""

        model_config = ConfigDict(extra="forbid")
        format: Literal["toy"]

    return Target


def asked(*words: str) -> Any:
    seen: list[Any] = []
    command(More, seen).main(["--model", "m", *words], standalone_mode=False)
    return seen[0][0]


def test_one_more_field_is_one_more_option_field_point_and_row() -> None:
    assert set(vars(More)["__annotations__"]) == set(declared(More)) - set(declared(Toy))
    for name in ("shade", "rule", "level", "loud"):
        one = declared(More)[name]
        flag = one.flag.partition("/")[0]
        few, many = (command(kind, []) for kind in (Toy, More))
        texts = [kind.get_help(click.Context(kind)) for kind in (few, many)]
        docs = [reference._command(kind, click.Context(kind, info_name="toy")) for kind in (few, many)]
        assert [flag in text for text in texts] == [False, True]
        assert [f"| `{flag}`" in text and one.option.help in text for text in docs] == [False, True]
        schemas = [target(kind).model_json_schema()["properties"] for kind in (Toy, More)]
        assert [name in schema for schema in schemas] == [False, True]
        assert schemas[1][name]["description"] == (one.option.recipe_help or one.option.help)
        text = name if one.base is bool else f"{name}={one.option.choices[0] if one.option.choices else 'x'}"
        assert name in points.fields(More, text, text)
        with pytest.raises(UsageError, match="unknown field"):
            points.fields(Toy, text, text)


def test_a_command_hands_on_what_was_typed() -> None:
    assert asked() == More(model="m")
    typed = asked("--depth", "3", "-s", "blue", "--rule", "a", "--rule", "b", "--level", "0", "--still", "--text", "x")
    assert typed == More(model="m", depth=3, shade="blue", rule=("a", "b"), level=0, loud=False, text=Path("x"))
    with pytest.raises(click.UsageError, match="one of '0', '4'"):
        asked("--level", "1")


def test_what_a_point_spells_a_command_takes() -> None:
    given = points.fields(More, "depth=3,shade=blue,rule=a=1,rule=b,level=0,loud=false,text=x", "whole")
    assert given == {"depth": 3, "shade": "blue", "rule": ["a=1", "b"], "level": 0, "loud": False, "text": "x"}
    words = [word for name, value in given.items() for word in declared(More)[name].spelled(value)]
    known = declared(More)
    assert asked(*words) == More(model="m", **{name: known[name].taken(value) for name, value in given.items()})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("depth=deep", "depth is a whole number"),
        ("depth", "a whole number"),
        ("shade=green", "one of red, blue"),
        ("level=1", "one of 0, 4"),
        ("loud=perhaps", "true or false"),
        ("depth=1,depth=2", "Leave one of them out"),
        ("hidden", "One of: depth, level, loud, rule, shade, text"),
        ("outside", "One of: depth, level, loud, rule, shade, text"),
    ],
)
def test_a_point_with_a_wrong_value_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        points.fields(More, text, text)
    assert says in str(caught.value.hint)


@pytest.mark.parametrize(
    "wrong", [{"depth": 0}, {"depth": 10}, {"shade": "green"}, {"level": 1}, {"rule": "a"}, {"hidden": True}]
)
def test_a_recipe_is_held_to_the_declaration(wrong: dict[str, Any]) -> None:
    made = target(More).model_validate({"format": "toy"})
    assert made.model_dump() == {"format": "toy"} | {name: _default(one) for name, one in of(More, "own").items()}
    with pytest.raises(ValidationError):
        target(More).model_validate({"format": "toy", **wrong})


def _default(one: Declared) -> Any:
    return list(one.default) if one.repeatable else one.default


def test_files_are_known() -> None:
    assert files_of(More(model="m")) == {}
    assert files_of(More(model="m", text=Path("a.txt"))) == {"text": Path("a.txt")}


def test_a_field_without_a_declaration_is_an_error() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Bare(Options):
        model: str

    with pytest.raises(TypeError, match="model is not declared"):
        declared(Bare)


@pytest.mark.parametrize("name", OF_FORMAT)
def test_every_option_of_a_format_has_somebody_who_reads_it(name: str) -> None:
    """What `jobs` spells otherwise: the types of a GGUF, which become a recipe of llama-quantize's."""
    read = {
        one.name
        for kind in (Request, {"openvino": Job, "onnx": OnnxJob, "gguf": GgufJob}[name])
        for one in fields(kind)
    }
    if name == "gguf":
        read |= {"type", "pure", "leave_output_tensor", "output_type", "token_embedding_type", "tensor_type"}
    assert set(declared(OF_FORMAT[name])) <= read


@pytest.mark.parametrize("name", OF_FORMAT)
def test_what_the_source_says_is_a_field_of_the_source(name: str) -> None:
    assert set(of(OF_FORMAT[name], "source")) <= set(Source.model_fields)


def test_a_job_of_no_format_is_an_error() -> None:
    with pytest.raises(TypeError, match="no format has Toy"):
        job(Toy(model="m"), Circumstances())

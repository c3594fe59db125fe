"""The Typer application: which commands there are. What they do is imported when one of them runs."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from ..core import hub_settings
from . import (
    bench,
    cache,
    chat,
    demo,
    doctor,
    frontier,
    gguf,
    inspect,
    onnx,
    openvino,
    publish,
    recipes,
    run,
    search,
    sensitivity,
    validate,
)

app = typer.Typer(
    name="edgeconv",
    help="Convert Hugging Face checkpoints to edge formats, and prove that the result is still the same model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # cli.main is the one place that shows errors
    rich_markup_mode=None,  # plain help: rich's panels double the time that `edgeconv --help` takes
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgeconv {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    hub_settings.require()


app.command("openvino", short_help="Convert a chat checkpoint to an OpenVINO IR.")(openvino.openvino)
app.command("gguf", short_help="Convert a chat checkpoint to a GGUF for llama.cpp.")(gguf.gguf)
app.command("onnx", short_help="Convert a chat checkpoint to an ONNX model for onnxruntime.")(onnx.onnx)
app.command("validate", short_help="Measure whether a converted model is still its checkpoint.")(validate.validate)
app.command("sensitivity", short_help="Measure which parts of a model compression hurts.")(sensitivity.sensitivity)
app.command("frontier", short_help="Show size against KL of many ways of compressing a model.")(frontier.frontier)
app.command("search", short_help="Find the smallest artifact within a KL, or the best within a size.")(search.search)
app.command("run", short_help="Carry recipes out: convert, measure, publish.")(run.run)
app.add_typer(recipes.recipes, name="recipes", short_help="List, show, check and begin recipes.")
app.command("publish", short_help="Publish a converted model whose parity is shown.")(publish.publish)
app.command("verify", short_help="Check a converted model, here or on the Hub, against its manifest.")(publish.verify)
app.command("diff", short_help="Show two converted models side by side.")(publish.diff)
app.command("inspect", short_help="Show a converted model and check its files.")(inspect.inspect)
app.command("chat", short_help="Talk to a converted model.")(chat.chat)
app.command("bench", short_help="Measure how fast a converted model runs here.")(bench.bench)
app.command("demo", short_help="Convert the built-in model and ask it questions.")(demo.demo)
app.command("doctor", short_help="Check this machine and its libraries.")(doctor.doctor)
app.add_typer(cache.cache, name="cache", short_help="Show or empty the cache of validations.")

"""Writes docs/cli.md from the application itself: `python -m edgeconv.cli.reference [--check] FILE`."""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
from pathlib import Path

import click
import typer.main

from ..core.errors import ExitCode
from .app import app

EXIT_CODES = {
    ExitCode.OK: "Done.",
    ExitCode.FAULT: "It failed: a damaged or unknown checkpoint, a conversion that broke, an output that exists or "
    "cannot be written, an artifact that is not whole, too little memory or disk, or a fault of edgeconv.",
    ExitCode.USAGE: "An option, or a combination of options, that cannot work. Nothing was written.",
    ExitCode.PARITY: "The artifact is not the same model within its budget.",
    ExitCode.ACCESS: "The Hub says no: an absent or gated repository, a bad token, an absent revision.",
    ExitCode.UNREACHABLE: "The Hub does not answer, or not with what it promised.",
    ExitCode.UNDECIDED: "Nothing failed, but the texts are too few to judge whether the artifact is within its budget.",
    ExitCode.INTERRUPTED: "Ctrl-C.",
    ExitCode.TERMINATED: "SIGTERM or SIGHUP.",
}
VARIABLES = {
    "HF_TOKEN": "The Hub token; without it the one that `hf auth login` stored is used. It is never an option, "
    "because other users of a machine can read a program's arguments.",
    "HF_HOME": "Where downloads are kept (default `~/.cache/huggingface`).",
    "HF_ENDPOINT": "Another Hub, for example a mirror.",
    "NO_COLOR": "If set, no colors. Where the output is not a terminal there are none either.",
    "EDGECONV_KERNELS": "`numpy`: do not use the compiled kernels; `ggml`: for GGUF use a packaged ggml in their place. The "
    "result is the same, bit for bit; numpy alone knows only the older types of GGUF.",
}
_HEAD = """\
# Command line

<!-- Written by `make docs` from the program itself; `make check-docs` fails if it is not current. -->

Results go to stdout, everything else (steps, notes, errors) to stderr. Bars are shown only on a terminal; elsewhere a
step is a line. `--json` puts one JSON document on stdout; if the command fails, stderr holds one JSON object instead of
the words "error" and "hint":

    {"error": {"message": "…", "hint": "…", "exit_code": 2, "kind": "UsageError"}}

Output is written to a folder `OUT.partial-…` beside `OUT` and renamed when it is whole; so are the files of a GGUF that is
written under a name of its own. A run that is stopped, by Ctrl-C or by SIGTERM, removes it; what a killed run left behind is
removed by the next one to the same output.
"""


def render() -> str:
    """Return the text of docs/cli.md."""
    root = typer.main.get_command(app)
    if not isinstance(root, click.Group):
        raise TypeError("the application has no commands")
    context = click.Context(root, info_name="edgeconv")
    parts = [_HEAD]
    parts += [_command(command, click.Context(command, context, name)) for name, command in root.commands.items()]
    codes = "\n".join(f"| {int(code)} | {text} |" for code, text in EXIT_CODES.items())
    parts.append(f"## Exit codes\n\n| code | meaning |\n| --- | --- |\n{codes}\n")
    variables = "\n".join(f"| `{name}` | {text} |" for name, text in VARIABLES.items())
    parts.append(f"## Environment variables\n\n| variable | meaning |\n| --- | --- |\n{variables}\n")
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = [_row(parameter, context) for parameter in command.params]
    table = "\n".join(["| option | meaning | default |", "| --- | --- | --- |", *rows])
    return f"## {context.command_path}\n\n    {usage}\n\n{inspect.cleandoc(command.help or '')}\n\n{table}\n"


def _row(parameter: click.Parameter, context: click.Context) -> str:
    text = getattr(parameter, "help", None) or ""
    if isinstance(parameter.type, click.Choice):
        text += " One of " + ", ".join(f"`{value}`" for value in parameter.type.choices) + "."
    return f"| {_names(parameter)} | {text} | {_default(parameter, context)} |"


def _names(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return f"`{parameter.make_metavar(click.Context(click.Command('edgeconv')))}`"
    names = " ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    takes_value = isinstance(parameter, click.Option) and not parameter.is_flag
    metavar = parameter.metavar or ("" if isinstance(parameter.type, click.Choice) else "TEXT")
    return f"{names} {metavar.replace('|', '∕')}".strip() if takes_value else names


def _default(parameter: click.Parameter, context: click.Context) -> str:
    if parameter.required:
        return "required"
    value = parameter.get_default(context)
    return "" if value is None or isinstance(value, bool) else f"`{value}`"


def main() -> int:
    """Write the file, or with `--check` say whether it is current."""
    parser = argparse.ArgumentParser(prog="python -m edgeconv.cli.reference", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the file is not current")
    options = parser.parse_args()
    wanted = render()
    if not options.check:
        options.file.write_text(wanted, "utf-8")
        return 0
    found = options.file.read_text("utf-8") if options.file.is_file() else ""
    sys.stdout.writelines(
        difflib.unified_diff(found.splitlines(True), wanted.splitlines(True), str(options.file), "the program")
    )
    if found != wanted:
        sys.stderr.write(f"{options.file} is not current: run `make docs`.\n")
    return int(found != wanted)


if __name__ == "__main__":
    sys.exit(main())

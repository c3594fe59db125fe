"""`edgeconv doctor`: can this machine convert, and does a checkpoint hold what edgeconv takes for granted; if not, what to do."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import ExitCode, UsageError
from .options import Json
from .output import Output, paint, size

if TYPE_CHECKING:
    from ..study.doctor import Environment
    from ..validate.checkpoint_checks import Report, Row

_COLORS = {"ok": "32", "assumed": "1;33", "wrong": "1;31"}


def doctor(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ID|DIR",
            help="Examine this checkpoint instead of this machine: a Hub id, also as ID@REVISION, or a folder.",
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the Hub's repository.")] = None,
    json: Json = False,
) -> None:
    """Show versions, devices, disk and memory, and say what is wrong with them.

    Exits with 1 if something is missing or of a version that edgeconv cannot work with.

    With --model, read a checkpoint's configs, tokenizer files and the headers of its weights, a few megabytes, and say
    whether everything holds that edgeconv takes for granted: tensors, ids, chat template, pictures. A row is ok, assumed
    (no file settles it), or wrong; exits with 1 if one is wrong.
    """
    if model is not None:
        _examine_model(Output(json=json), model, revision)
    elif revision is not None:
        raise UsageError("--revision has no meaning without --model.", "Leave it out.")
    else:
        _examine_machine(Output(json=json))


def _examine_machine(out: Output) -> None:
    from ..quantize.ggml.choose import describe
    from ..study.doctor import examine

    with out.working():
        environment = examine()
    fatal = any(problem.fatal for problem in environment.problems)
    gguf = describe()
    if out.json:
        out.data({**asdict(environment), "gguf_quantiser": gguf, "ok": not fatal})
    else:
        out.pairs(_rows(environment, gguf))
        _show_problems(out, environment)
    if fatal:
        raise typer.Exit(ExitCode.FAULT)


def _rows(environment: Environment, gguf: str) -> list[tuple[str, str]]:
    def amount(count: int | None) -> str:
        return "unknown" if count is None else size(count)

    return [
        ("edgeconv", environment.edgeconv),
        ("python", f"{environment.python} ({environment.platform})"),
        *((name, version or "not installed") for name, version in environment.packages.items()),
        ("quantizer", environment.kernels or "not working"),
        ("GGUF quantizer", gguf),
        *((f"device {name}", text) for name, text in environment.devices.items()),
        ("CPU cores", str(environment.cpus)),
        ("memory", f"{amount(environment.memory_available)} free of {amount(environment.memory_total)}"),
        ("disk here", f"{amount(environment.free_disk_here)} free"),
        ("HF_HOME", f"{environment.hf_home} ({amount(environment.free_disk_hf_home)} free)"),
        ("HF_ENDPOINT", str(environment.hf_endpoint)),
        ("Hub token", "present" if environment.token else "none (public models need none)"),
    ]


def _show_problems(out: Output, environment: Environment) -> None:
    out.result("")
    if not environment.problems:
        out.result("No problems found.")
    for problem in environment.problems:
        word = paint("problem:", "1;31", sys.stdout) if problem.fatal else paint("warning:", "1;33", sys.stdout)
        out.result(f"{word} {problem.message}")
        out.result(f"   hint: {problem.hint}")


def _examine_model(out: Output, model: str, revision: str | None) -> None:
    from ..hub.source import parse
    from ..validate.checkpoint_checks import examine

    with out.working() as progress:
        report = examine(parse(model, revision), progress)
    if out.json:
        out.data({**asdict(report), "ok": report.sound})
    else:
        _show_model(out, report)
    if not report.sound:
        raise typer.Exit(ExitCode.FAULT)


def _show_model(out: Output, report: Report) -> None:
    commit = f" @ {report.commit[:12]}" if report.commit else ""
    weights = f"{report.parameters / 1e6:,.1f} M parameters, {size(report.bytes)} of weights, of which none was read"
    out.pairs([("source", report.source + commit), ("model", f"{report.model_type}, {weights}")])
    out.result("")
    out.table(
        ["Status", "Assumption", "Expected", "Found"],
        [[row.status, _label(row), row.expected, row.found] for row in report.rows],
    )
    for status, word in (("assumed", "because"), ("wrong", "hint")):
        noted = [row for row in report.rows if row.status == status and row.note]
        if noted:
            out.result("")
        for row in noted:
            out.result(f"{paint(status + ':', _COLORS[status], sys.stdout)} {_label(row)}: {row.found}")
            out.result(f"   {word}: {row.note}")
    counts = {status: sum(row.status == status for row in report.rows) for status in _COLORS}
    out.result("")
    out.result(", ".join(f"{count} {status}" for status, count in counts.items()) + ".")


def _label(row: Row) -> str:
    return row.name if row.name == row.topic else f"{row.topic}: {row.name}"

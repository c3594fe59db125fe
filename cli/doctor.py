"""`edgeconv doctor`: can this machine convert, and does a checkpoint hold what edgeconv takes for granted; if not, what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ..core.errors import ExitCode, UsageError
from ..core.format_names import FORMAT_NAMES
from ..core.option import declared
from ..study.options import DoctorOptions
from .declared import command, parameters_of
from .options import Json
from .output import Output, paint, size

if TYPE_CHECKING:
    from ..convert.conversion.outlook import Outlook
    from ..study.doctor import Environment
    from ..validate.checkpoint_checks import Report, Row

_COLORS = {"ok": "32", "assumed": "1;33", "wrong": "1;31"}


def _output(*, json: Json = False) -> Output:
    return Output(json=json)


def _doctor(asked: DoctorOptions, out: Output) -> None:
    """Show versions, devices, disk and memory, and say what is wrong with them.

    Exits with 1 if something is missing or of a version that edgeconv cannot work with.

    With --model, read a checkpoint's configs, tokenizer files and the headers of its weights, a few megabytes, and say
    whether everything holds that edgeconv takes for granted: tensors, ids, chat template, pictures. A row is ok, assumed
    (no file settles it), or wrong. Then plan its conversion to every format, by the format's defaults: with which engine, in
    how much memory, of what size, or why not. Exits with 1 if a row is wrong, or none of these formats takes it here.
    """
    if asked.model is not None:
        formats = [asked.format] if asked.format else list(FORMAT_NAMES)
        _examine_model(out, asked.model, asked.revision, formats)
        return
    known = declared(DoctorOptions)
    given = [known[name].flag for name in ("revision", "format") if getattr(asked, name) is not None]
    if given:
        raise UsageError(f"{given[0]} has no meaning without --model.", "Leave it out.")
    _examine_machine(out)


doctor = command(DoctorOptions, _doctor, _output, parameters_of(_output))


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


def _examine_model(out: Output, model: str, revision: str | None, formats: Sequence[str]) -> None:
    from ..convert.conversion.outlook import outlook
    from ..hub.fetch import fetch_metadata
    from ..hub.source import parse
    from ..validate.checkpoint_checks import examine

    with out.working() as progress:
        metadata = fetch_metadata(parse(model, revision), progress=progress)
        report = examine(metadata)
        found = [outlook(name, model, metadata) for name in formats]
    sound = report.sound and any(one.converts for one in found)
    if out.json:
        out.data({**asdict(report), "formats": [one.as_dict() for one in found], "ok": sound})
    else:
        _show_model(out, report)
        _show_formats(out, found)
    if not sound:
        raise typer.Exit(ExitCode.FAULT)


def _show_formats(out: Output, found: Sequence[Outlook]) -> None:
    """Say what a conversion without options would come to."""
    out.result("")
    out.table(
        ["Format", "Converts", "Engine", "Size", "Memory", "Disk"], [_forecast(one) for one in found], right=(3, 4, 5)
    )
    for one in found:
        for conflict in one.conflicts:
            out.result("")
            out.result(f"{paint(one.format + ':', _COLORS['wrong'], sys.stdout)} {conflict.message}")
            if conflict.hint:
                out.result(f"   hint: {conflict.hint}")


def _forecast(one: Outlook) -> list[str]:
    planned = one.plan
    cost = planned.cost if planned else None
    if planned is None or cost is None:
        return [one.format, "no", "", "", "", ""]
    needed = sum(sum(disk.needs.values()) for disk in cost.disks)
    answer = "yes" if one.converts else "no"
    return [one.format, answer, planned.engine, size(planned.output_bytes), size(cost.memory_bytes), size(needed)]


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

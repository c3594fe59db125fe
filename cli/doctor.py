"""`edgeconv doctor`: can this machine convert, and if not, what to do."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ..core.errors import ExitCode
from .options import Json
from .output import Output, paint, size

if TYPE_CHECKING:
    from ..validate.environment import Environment


def doctor(json: Json = False) -> None:
    """Show versions, devices, disk and memory, and say what is wrong with them.

    Exits with 1 if something is missing or of a version that edgeconv cannot work with.
    """
    from ..validate.environment import examine

    out = Output(json=json)
    with out.working():
        environment = examine()
    fatal = any(problem.fatal for problem in environment.problems)
    if out.json:
        out.data({**asdict(environment), "ok": not fatal})
    else:
        out.pairs(_rows(environment))
        _show_problems(out, environment)
    if fatal:
        raise typer.Exit(ExitCode.FAULT)


def _rows(environment: Environment) -> list[tuple[str, str]]:
    def amount(count: int | None) -> str:
        return "unknown" if count is None else size(count)

    return [
        ("edgeconv", environment.edgeconv),
        ("python", f"{environment.python} ({environment.platform})"),
        *((name, version or "not installed") for name, version in environment.packages.items()),
        ("quantiser", environment.kernels or "not working"),
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

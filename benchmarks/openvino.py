"""`edgeconv openvino` beside `optimum-cli export openvino`: whole commands, hashing and tokenizers included."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from .processes import ROOT, checkpoint, in_turn, last_line, sizes, version
from .result import SOURCE, Figure, Result, Target, of_runs
from .setting import Setting

OURS, THEIRS = "edgeconv", "optimum-cli"
COPIED = (
    "Nothing is quantized here: both copy 3.2 GB, which edgeconv hashes on both sides too. The case profile shows where the "
    "time goes."
)
FIGURES = ("wall", "cpu", "anonymous", "rss", "read", "written")
SCHEMES: dict[str, tuple[list[str], list[str]]] = {
    # GLM-Edge's own choice: symmetric, groups of 128, ratio 0.8; what its name means to optimum-cli is said in full
    "int4": (["--precision", "int4"], ["--weight-format", "int4", "--sym", "--group-size", "128", "--ratio", "0.8"]),
    "int4-ratio1": (
        ["--precision", "int4", "--sym", "--group-size", "128", "--ratio", "1.0"],
        ["--weight-format", "int4", "--sym", "--group-size", "128", "--ratio", "1.0"],
    ),
    # for rows that 128 does not divide: SmolLM2's have 576 values
    "int4-group64": (
        ["--precision", "int4", "--sym", "--group-size", "64", "--ratio", "1.0"],
        ["--weight-format", "int4", "--sym", "--group-size", "64", "--ratio", "1.0"],
    ),
    "int8": (["--precision", "int8"], ["--weight-format", "int8"]),
    "bf16": (
        ["--precision", "bf16"],
        ["--weight-format", "fp16"],
    ),  # optimum-cli knows no bf16, and writes 32 bits without
}


def beside_optimum(
    setting: Setting, name: str, size: str, scheme: str, targets: Mapping[str, Target], *, engine: str = "stream"
) -> Result:
    """Convert with both, in turn."""
    source, out = checkpoint(setting.work, size), setting.work / "out"
    ours, theirs = SCHEMES[scheme]
    made: dict[str, float] = {}
    runs = in_turn(
        {
            OURS: [ours_command(source, out, [*ours, "--engine", engine])],
            THEIRS: [optimum_command(setting.optimum_python, source, out, theirs)],
        },
        setting.pairs,
        setting.work,
        lambda side: shutil.rmtree(out, ignore_errors=True),
        lambda side: made.update({side: sizes(out, "openvino_*model.bin")}),
    )
    shutil.rmtree(out, ignore_errors=True)
    figures = [Figure(SOURCE, "GB", [sizes(source, "*.safetensors")]), *of_runs(runs, targets, FIGURES)]
    figures.append(Figure("size of the .bin", "GB", [made[OURS]], [made[THEIRS]], at_least=0.99))
    return Result(
        name,
        f"{source.name} ({size}), {scheme}, {engine} engine",
        f"python -m benchmarks {name}",
        version(setting.optimum_python, "optimum-intel"),
        figures,
        [COPIED] if scheme == "bf16" else [],
    )


def alone(setting: Setting, name: str, size: str, scheme: str, targets: Mapping[str, Target], *, why: str) -> Result:
    """Convert with edgeconv only."""
    source, out = checkpoint(setting.work, size), setting.work / "out"
    runs = in_turn(
        {OURS: [ours_command(source, out, SCHEMES[scheme][0])]},
        setting.pairs,
        setting.work,
        lambda side: shutil.rmtree(out, ignore_errors=True),
        lambda side: None,
    )
    figures = [Figure(SOURCE, "GB", [sizes(source, "*.safetensors")]), *of_runs(runs, targets, FIGURES)]
    figures.append(Figure("size of the .bin", "GB", [sizes(out, "openvino_*model.bin")]))
    shutil.rmtree(out, ignore_errors=True)
    return Result(name, f"{source.name}, {scheme}", f"python -m benchmarks {name}", "", figures, [why])


def within_a_limit(setting: Setting, name: str, size: str, limit: int) -> Result:
    """Convert where a process may have `limit` bytes of memory of its own (RLIMIT_DATA: mapped files do not count)."""
    source, out = checkpoint(setting.work, size), setting.work / "out"
    sides = {
        OURS: ours_command(source, out, SCHEMES["int4"][0]),
        THEIRS: optimum_command(setting.optimum_python, source, out, SCHEMES["int4"][1]),
    }
    figures = []
    notes = [
        "The limit counts what a process maps privately to write as well, as safetensors maps shards for torch; "
        "a cgroup's would not."
    ]
    for side, command in sides.items():
        shutil.rmtree(out, ignore_errors=True)
        log = setting.work / f"{name}-{side}.log"
        shell = ["bash", "-c", 'ulimit -d "$1"; shift; "$@"; echo "exit code $?"', "bash", str(limit >> 10), *command]
        in_turn({log.stem: [shell]}, 1, setting.work, lambda _: None, lambda _: None)
        written = sizes(out, "openvino_*model.bin")
        figures.append(Figure(f"written by {side} within {limit / 2**30:g} GiB", "GB", [written]))
        said = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line][-1:]
        notes.append(f"{side}: {last_line(log)}" + (f" ({said[0].strip()[:160]})" if said else ""))
    shutil.rmtree(out, ignore_errors=True)
    return Result(
        name,
        f"{source.name}, int4, with at most {limit / 2**30:g} GiB of memory of its own (ulimit -d)",
        f"python -m benchmarks {name}",
        version(setting.optimum_python, "optimum-intel"),
        figures,
        notes,
    )


def ours_command(source: Path, out: Path, options: list[str]) -> list[str]:
    """The whole command."""
    return [sys.executable, "-m", "edgeconv", "openvino", "-m", str(source), *options, "-o", str(out), "-q"]


def optimum_command(python: str, source: Path, out: Path, options: list[str]) -> list[str]:
    """The peer's, by a script that lifts its version cap on `glm`."""
    task = ["--task", "text-generation-with-past"]
    script = str(ROOT / "benchmarks" / "peer_optimum.py")
    return [python, script, "export", "openvino", "--model", str(source), *task, *options, str(out)]

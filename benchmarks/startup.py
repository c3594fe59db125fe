"""How long `--help` takes."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from .processes import in_turn, version
from .result import Result, Target, of_runs
from .setting import Setting

RUNS = 10


def show_help(setting: Setting, name: str) -> Result:
    """Ask both programs, and both of their commands for OpenVINO, for help, in turn."""
    ours = shutil.which("edgeconv", path=str(Path(sys.executable).parent)) or "edgeconv"
    theirs = str(Path(setting.optimum_python).with_name("optimum-cli"))
    figures = []
    for words, peers in ((["--help"], ["--help"]), (["openvino", "--help"], ["export", "openvino", "--help"])):
        sides = {"edgeconv": [[ours, *words]], "optimum-cli": [[theirs, *peers]]}
        in_turn(sides, 1, setting.work, lambda _: None, lambda _: None)  # warm-up
        runs = in_turn(sides, RUNS, setting.work, lambda _: None, lambda _: None)
        made = of_runs(runs, {"wall": Target(at_most=0.25)}, ("wall", "cpu"))
        label = f"{' '.join(words)} ({' '.join(peers)})" if words != peers else " ".join(words)
        figures += [replace(figure, name=f"{label}: {figure.name}") for figure in made]
    peer = version(setting.optimum_python, "optimum-intel")
    return Result(name, "asking for help", f"python -m benchmarks {name}", peer, figures)

"""How cost grows with the size of the model: time in bytes, memory flat."""

from __future__ import annotations

import shutil

from .openvino import OURS, SCHEMES, ours_command
from .processes import checkpoint, in_turn, sizes
from .result import SOURCE, Figure, Result, of_runs
from .setting import Setting

SIZES = ("0.4b", "1.5b", "4b")
RUNS = 2


def grow(setting: Setting, name: str) -> Result:
    """Convert each size to int4 at ratio 1, where every layer takes the same way; a run of each is the warm-up."""
    out = setting.work / "out"
    figures: list[Figure] = []
    for size in SIZES:
        source = checkpoint(setting.work, size)
        runs = in_turn(
            {OURS: [ours_command(source, out, SCHEMES["int4-ratio1"][0])]},
            RUNS,
            setting.work,
            lambda side: shutil.rmtree(out, ignore_errors=True),
            lambda side: None,
        )
        figures.append(Figure(f"{size}: {SOURCE}", "GB", [sizes(source, "*.safetensors")]))
        for figure in of_runs(runs, {}, ("wall", "cpu", "anonymous", "written")):
            figures.append(Figure(f"{size}: {figure.name}", figure.unit, figure.ours))
        shutil.rmtree(out)
    title = "int4 at ratio 1.0, three sizes"
    return Result(name, title, f"python -m benchmarks {name}", "", figures)

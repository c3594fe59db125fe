"""`edgeconv onnx` at full size: time and memory, fp16 to int4."""

from __future__ import annotations

import shutil
import sys

from .processes import checkpoint, in_turn, sizes
from .result import SOURCE, Figure, Result, of_runs
from .setting import Setting

PRECISIONS = ("fp16", "int8", "int4")
FLAT = 0.6
"""GB of anonymous memory, as for the other formats."""


def full_size(setting: Setting, name: str, size: str) -> Result:
    """Convert to each precision in turn, with nothing beside: optimum-onnx is not in the environments of the peers."""
    source, out = checkpoint(setting.work, size), setting.work / "out"
    made: dict[str, float] = {}
    commands = {
        precision: [
            [sys.executable, "-m", "edgeconv", "onnx", "-m", str(source), "-p", precision, "-o", str(out), "-q"]
        ]
        for precision in PRECISIONS
    }
    runs = in_turn(
        commands,
        setting.pairs,
        setting.work,
        lambda side: shutil.rmtree(out, ignore_errors=True),
        lambda side: made.update({side: sizes(out, "*.onnx_data")}),
    )
    shutil.rmtree(out, ignore_errors=True)
    figures = [Figure(SOURCE, "GB", [sizes(source, "*.safetensors")])]
    for precision in PRECISIONS:
        for figure in of_runs({precision: runs[precision]}, {}, ("wall", "cpu", "anonymous", "written")):
            limit = FLAT if figure.name == "peak anonymous memory" else None
            figures.append(Figure(f"{precision}: {figure.name}", figure.unit, figure.ours, at_most=limit))
        figures.append(Figure(f"{precision}: size of model.onnx_data", "GB", [made[precision]]))
    title = f"edgeconv onnx, {source.name} ({size})"
    why = "Alone: optimum-onnx is not in the environments of the peers."
    return Result(name, title, f"python -m benchmarks {name}", "", figures, [why])

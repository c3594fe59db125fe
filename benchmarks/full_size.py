"""edgeconv alone at full size: time and memory of several conversions of one checkpoint."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping

from .processes import checkpoint, in_turn, sizes
from .result import SOURCE, Figure, Result, of_runs
from .setting import Setting

Conversion = tuple[str, str]
"""A command of edgeconv, and its precision."""
ONNX: Mapping[str, Conversion] = {precision: ("onnx", precision) for precision in ("fp16", "int8", "int4")}
INT4: Mapping[str, Conversion] = {
    "OpenVINO int4": ("openvino", "int4"), "GGUF Q4_K_M": ("gguf", "int4"), "ONNX int4": ("onnx", "int4"),
}  # fmt: skip
_WEIGHTS = {"openvino": "openvino_*model.bin", "gguf": "*.gguf", "onnx": "*.onnx_data"}


def full_size(
    setting: Setting, name: str, size: str, conversions: Mapping[str, Conversion], *, flat: float, why: str
) -> Result:
    """Make the conversions in turn.

    Args:
        setting: of the run.
        name: the case.
        size: the checkpoint, by its name in geometry.SIZES.
        conversions: what is said of each, and how it is made.
        flat: GB of anonymous memory that each may take.
        why: there is no peer beside.
    """
    source, out = checkpoint(setting.work, size), setting.work / "out"
    made: dict[str, float] = {}
    commands = {}
    for label, (verb, precision) in conversions.items():
        target = out / "model.gguf" if verb == "gguf" else out
        command = [sys.executable, "-m", "edgeconv", verb, "-m", str(source), "-p", precision, "-o", str(target), "-q"]
        commands[label] = [command]
    runs = in_turn(
        commands,
        setting.pairs,
        setting.work,
        lambda side: shutil.rmtree(out, ignore_errors=True),
        lambda side: made.update({side: sizes(out, _WEIGHTS[conversions[side][0]])}),
    )
    shutil.rmtree(out, ignore_errors=True)
    figures = [Figure(SOURCE, "GB", [sizes(source, "*.safetensors")])]
    for label in conversions:
        for figure in of_runs({label: runs[label]}, {}, ("wall", "cpu", "anonymous", "written")):
            limit = flat if figure.name == "peak anonymous memory" else None
            figures.append(Figure(f"{label}: {figure.name}", figure.unit, figure.ours, at_most=limit))
        figures.append(Figure(f"{label}: size of the weights", "GB", [made[label]]))
    return Result(
        name,
        source.name + (f" ({size})" if size != source.name else ""),
        f"python -m benchmarks {name}",
        "",
        figures,
        [why],
    )

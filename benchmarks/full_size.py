"""edgeconv alone at full size: time and memory of several conversions of one checkpoint."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from .measure import measure
from .processes import ROOT, checkpoint, in_turn, sizes
from .result import SOURCE, Figure, Result, of_runs
from .setting import Setting

Conversion = tuple[str, str]
"""A command of edgeconv, and its precision."""
ONNX: Mapping[str, Conversion] = {precision: ("onnx", precision) for precision in ("fp16", "int8", "int4")}
INT4: Mapping[str, Conversion] = {
    "OpenVINO int4": ("openvino", "int4"), "GGUF Q4_K_M": ("gguf", "int4"), "ONNX int4": ("onnx", "int4"),
}  # fmt: skip
_TOKENS = 8
_ASKING = ("--prompt", "What is in this picture?", "--max-new-tokens", str(_TOKENS), "--temperature", "0")
_WEIGHTS = {"openvino": "openvino_*model.bin", "gguf": "*.gguf", "onnx": "*.onnx_data"}


def full_size(
    setting: Setting,
    name: str,
    size: str,
    conversions: Mapping[str, Conversion],
    *,
    flat: float,
    why: str,
    picture: Path | None = None,
) -> Result:
    """Make the conversions in turn.

    Args:
        setting: of the run.
        name: the case.
        size: the checkpoint, by its name in geometry.SIZES.
        conversions: what is said of each, and how it is made.
        flat: GB of anonymous memory that each may take.
        why: there is no peer beside.
        picture: that each model is shown, once it is written: its answer is of random weights, its cost is not.
    """
    source, out = checkpoint(setting.work, size), setting.work / "out"
    made: dict[str, float] = {}
    asked: dict[str, list[dict[str, float]]] = {}

    def after(side: str) -> None:
        made[side] = sizes(out, _WEIGHTS[conversions[side][0]])
        if picture is None:
            return
        artifact = out / "model.gguf" if conversions[side][0] == "gguf" else out
        command = [sys.executable, "-m", "edgeconv", "chat", str(artifact), "--image", str(picture), *_ASKING]
        asked.setdefault(side, []).append(measure(command, setting.work / f"{side}.chat.log", cwd=ROOT).as_dict())

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
        after,
    )
    shutil.rmtree(out, ignore_errors=True)
    figures = [Figure(SOURCE, "GB", [sizes(source, "*.safetensors")])]
    for label in conversions:
        figures += _of_conversion(label, runs[label], made[label], flat)
        figures += _of_caption(label, asked[label][-1]) if label in asked else []
    return Result(
        name,
        source.name + (f" ({size})" if size != source.name else ""),
        f"python -m benchmarks {name}",
        "",
        figures,
        [why],
    )


def _of_conversion(label: str, runs: list[dict[str, float]], size: float, flat: float) -> Iterator[Figure]:
    for figure in of_runs({label: runs}, {}, ("wall", "cpu", "anonymous", "written")):
        limit = flat if figure.name == "peak anonymous memory" else None
        yield Figure(f"{label}: {figure.name}", figure.unit, figure.ours, at_most=limit)
    yield Figure(f"{label}: size of the weights", "GB", [size])


def _of_caption(label: str, answer: Mapping[str, float]) -> list[Figure]:
    return [
        Figure(f"{label}: a caption of {_TOKENS} tokens", "s", [answer["wall"]]),
        Figure(f"{label}: peak memory of that", "GB", [answer["rss"] / 1e9]),
    ]

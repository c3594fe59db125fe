"""One side of a bench, in a process of its own: its peak of memory is the model's and nobody else's.

`python -m edgeconv.study.bench.child` reads a question as JSON from stdin, and answers on stdout.
"""

from __future__ import annotations

import importlib
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...core.errors import EdgeconvError
from ...core.foreign_code import block_optional_packages
from ...core.telemetry import silence_telemetry
from .model import Row, Side, Task, Timing
from .runner import Load, Runner

WARM_UP = Task(32, 4)
QUESTION = "Describe the image."
LIBRARIES = {
    "genai": ("openvino", "openvino_genai"),
    "openvino vision": ("openvino", "transformers"),
    "onnxruntime": ("onnxruntime", "onnx", "tokenizers"),
    "llama.cpp": ("cyllama.llama.llama_cpp",),
    "torch": ("torch", "transformers.models.auto.modeling_auto"),
}
"""What each kind of runner imports; that is not part of loading a model."""


def runner(kind: str, load: Load) -> Runner:
    """Load a model of one of the kinds of `LIBRARIES`."""
    if kind == "llama.cpp":
        from .run_llama_cpp import LlamaCppRunner

        return LlamaCppRunner(load)
    if kind == "torch":
        from .run_torch import TorchRunner

        return TorchRunner(load)
    if kind == "onnxruntime":
        from .run_onnxruntime import OnnxRunner

        return OnnxRunner(load)
    from .run_openvino import GenaiRunner, VisionRunner

    return GenaiRunner(load) if kind == "genai" else VisionRunner(load)


def measure(ask: dict[str, Any]) -> Side:
    """Load, warm up, run every task, and read the peak of this process."""
    given = Load(Path(ask["path"]), ask["device"], ask["threads"], ask["attention"])
    silence_telemetry()
    block_optional_packages()
    for library in LIBRARIES[ask["kind"]]:
        importlib.import_module(library)
    started = time.perf_counter()
    model = runner(ask["kind"], given)
    loaded = time.perf_counter() - started
    picture = Path(ask["image"]) if ask["image"] else None
    tasks = [Task(**task) for task in ask["tasks"]]
    _once(model, WARM_UP, picture, run=-1)
    rows, words = [], None
    for task in sorted(tasks, key=lambda task: task.picture):  # the vision part is loaded with the first picture
        if task.picture and words is None:
            words = peak()
            _once(model, Task(1, WARM_UP.made, picture=True), picture, run=-1)
        rows.append(_row(task, [_once(model, task, picture, run) for run in range(ask["runs"])]))
    return Side(model.framework, ask["stored_as"], ask["device"], loaded, peak(), words, rows)


def _once(model: Runner, task: Task, picture: Path | None, run: int) -> Timing:
    if task.picture and picture:
        return model.see(picture, QUESTION, task.made)
    return model.run(prompt(model.vocabulary, task.read, run), task.made)


def _row(task: Task, runs: Sequence[Timing]) -> Row:
    vision = [run.vision_ms for run in runs if run.vision_ms is not None]
    return Row(
        task=str(Task(runs[0].read, task.made, task.picture)),
        first_ms=statistics.median(run.first_ms for run in runs),
        tokens_per_second=statistics.median(run.tokens_per_second for run in runs),
        vision_ms=statistics.median(vision) if vision else None,
        runs=list(runs),
    )


def prompt(vocabulary: int, count: int, run: int) -> list[int]:
    """Return `count` ids, the same for every side; drawn at random, as llama-bench does, for speed does not ask for sense.

    Each run reads others: openvino_genai keeps what it has read, and answers a prompt that it knows in no time.
    """
    chooser = random.Random(f"{count} {run}")
    return [chooser.randrange(vocabulary * 9 // 10) for _ in range(count)]  # special tokens stand at a vocabulary's end


def peak() -> int:
    """Return the highest resident memory of this process so far, in bytes; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Answer on stdout; an error of ours as {"error": …}, with exit code 1."""
    ask = json.load(sys.stdin)
    answer = sys.stdout
    sys.stdout = sys.stderr  # libraries' messages
    try:
        json.dump(asdict(measure(ask)), answer)
    except EdgeconvError as error:
        json.dump({"error": type(error).__name__, "message": error.message, "hint": error.hint}, answer)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""`python -m benchmarks.experts WORK`: tokens a second of a mixture of experts, beside optimum-intel's IR of the same one.

A Qwen3 MoE of random weights (226 M parameters in experts, 4 of 32 used) is converted by edgeconv to OpenVINO and ONNX, and by
optimum-intel. Each runs a prompt of 128 tokens and 32 single steps, three times, in turns; the median is printed as JSON. A step
that computed all experts would read 8 times their bytes. Measure on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PROMPT, STEPS, ROUNDS = 128, 32, 3
FIELDS: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 2048, "moe_intermediate_size": 384, "num_hidden_layers": 8,
    "num_experts": 32, "num_experts_per_tok": 4, "norm_topk_prob": True, "num_attention_heads": 12,
    "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 4096,
}  # fmt: skip
Run = Callable[[np.ndarray, int], None]
"""Takes ids [1, n] and how many positions lie in the cache."""


def main() -> None:
    """Convert what is not there, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experts", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--precision", default="int8", choices=("int8", "int4"))
    arguments = parser.parse_args()
    source = make(arguments.work / "model")
    runs: dict[str, tuple[Run, Callable[[], None]]] = {}
    for name, folder in converted(source, arguments.work, arguments.precision).items():
        runs[name] = onnx(folder) if "onnx" in name else openvino(folder)
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, (run, reset) in runs.items():
            reset()
            figures[name].append(measured(run))
    print(json.dumps({name: told(found) for name, found in figures.items()}, indent=1))


def make(folder: Path) -> Path:
    """Write the checkpoint."""
    if not (folder / "config.json").is_file():
        from tests.models import tiny

        tiny.make("qwen3_moe", folder, **FIELDS)
    return folder


def converted(source: Path, work: Path, precision: str) -> dict[str, Path]:
    """Return the folders of all converted models."""
    made = {f"{side} {precision}": work / f"{side}-{precision}" for side in ("openvino", "onnx", "optimum")}
    for side in ("openvino", "onnx"):
        if not made[f"{side} {precision}"].is_dir():
            command = ["-m", "edgeconv", side, "--model", str(source), "-o", str(made[f"{side} {precision}"])]
            subprocess.run([sys.executable, *command, "--precision", precision, "--quiet"], check=True)
    if not made[f"optimum {precision}"].is_dir():
        tool = [sys.executable, "-c", "from optimum.commands.optimum_cli import main; main()"]
        out = made[f"optimum {precision}"]
        command = [*tool, "export", "openvino", "--model", str(source), "--weight-format", precision]
        try:
            subprocess.run([*command, "--task", "text-generation-with-past", str(out)], check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError:
            shutil.rmtree(out, ignore_errors=True)
            raise
    return made


def openvino(folder: Path) -> tuple[Run, Callable[[], None]]:
    """Compile an IR with the device's defaults."""
    import openvino as ov

    request = ov.Core().compile_model(folder / "openvino_model.xml", "CPU").create_infer_request()

    def run(ids: np.ndarray, past: int) -> None:
        total = past + ids.shape[1]
        given = {"input_ids": ids, "attention_mask": np.ones((1, total), np.int64), "beam_idx": np.zeros(1, np.int32),
                 "position_ids": np.arange(past, total)[None]}  # fmt: skip
        request.infer(given)

    return run, request.reset_state


def onnx(folder: Path) -> tuple[Run, Callable[[], None]]:
    """Load an ONNX model with the runtime's defaults."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    empty = {
        one.name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
        for one in session.get_inputs()
        if one.name.startswith("past_key_values")
    }
    cache = dict(empty)

    def run(ids: np.ndarray, past: int) -> None:
        total = past + ids.shape[1]
        given = {"input_ids": ids, "attention_mask": np.ones((1, total), np.int64),
                 "position_ids": np.arange(past, total)[None]}  # fmt: skip
        outputs = dict(zip(names, session.run(None, given | cache), strict=True))
        cache.update({name: outputs[name.replace("past_key_values", "present")] for name in cache})

    return run, lambda: cache.update(empty)


def measured(run: Run) -> tuple[float, float]:
    """Return tokens a second of a prompt and of single steps."""
    ids = np.random.default_rng(1).integers(5, 4000, (1, PROMPT + STEPS))
    started = time.perf_counter()
    run(ids[:, :PROMPT], 0)
    between = time.perf_counter()
    for step in range(PROMPT, PROMPT + STEPS):
        run(ids[:, step : step + 1], step)
    return PROMPT / (between - started), STEPS / (time.perf_counter() - between)


def told(found: list[tuple[float, float]]) -> dict[str, float]:
    """Return the medians."""
    prompts, steps = zip(*found, strict=True)
    return {"prompt": round(statistics.median(prompts), 1), "step": round(statistics.median(steps), 1)}


if __name__ == "__main__":
    main()

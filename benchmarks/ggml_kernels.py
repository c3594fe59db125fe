"""Our ggml kernels beside llama.cpp's own quantizer, on one thread, in alternated runs.

    python -m benchmarks.ggml_kernels --types q4_k,q6_k --runs 9 --json result.json

Both get the same float32 matrix (bell-shaped, like weights); a run's time is the CPU time of its thread, so that other work on
the machine disturbs less. Reported: medians of million weights a second, and the median and range of the ratios of neighboring
runs. The bytes are compared too. llama.cpp's quantizer is that of the wheel libggml-python.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.core.errors import EdgeconvError
from edgeconv.quantize.ggml import fallback, native
from edgeconv.quantize.ggml.engine import Engine
from edgeconv.quantize.ggml.types import TYPES, Type, find

ROWS, COLS = 64, 4096


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    quantized = ",".join(kind.name for kind in TYPES.values() if kind.quantized)
    parser.add_argument("--types", default=quantized, help="comma-separated (default: all quantized types)")
    parser.add_argument("--runs", type=int, default=9, help="runs of each (default: 9)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    lib = native.load()
    packaged = next((engine for engine in fallback.engines() if isinstance(engine, fallback.PackagedGgml)), None)
    if lib is None or packaged is None:
        sys.exit("needs the compiled kernels and libggml-python")
    print(f"{processor()}; {packaged.name}; M weights/s on one thread, medians of {arguments.runs} runs")
    print(f"{'type':8}{'imatrix':9}{'ggml':>8}{'ours':>8}{'ratio':>7}   (range)")
    rows = []
    for name in arguments.types.split(","):
        for weighted in (False, True) if find(name).weighted else (False,):
            row = compare(find(name), weighted, packaged, native.Compiled(lib), arguments.runs)
            rows.append(row)
            low, high = min(row["ratios"]), max(row["ratios"])
            figures = f"{row['ggml']:8.1f}{row['ours']:8.1f}{row['ratio']:7.1f}   ({low:.1f}-{high:.1f})"
            print(f"{name:8}{'yes' if weighted else 'no':9}{figures}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1) + "\n", "utf-8")


def compare(kind: Type, weighted: bool, theirs: Engine, ours: Engine, runs: int) -> dict[str, Any]:
    """Time both in turn; the order changes from run to run."""
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((ROWS, COLS)) * 0.02).astype(np.float32)
    importance = rng.random(COLS).astype(np.float32) if weighted else None
    engines = {"ggml": theirs, "ours": ours}
    out = {name: np.zeros((ROWS, kind.row_bytes(COLS)), np.uint8) for name in engines}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for run in range(-1, runs):  # the first warms up
        for name in sorted(engines, reverse=bool(run % 2)):
            took = timed(lambda name=name: engines[name].run(weights, kind, importance, out[name]))
            if run >= 0:
                seconds[name].append(took)
    if not np.array_equal(out["ggml"], out["ours"]):
        raise EdgeconvError(f"{kind.name}: the bytes differ.")
    ratios = [slow / fast for slow, fast in zip(seconds["ggml"], seconds["ours"], strict=True)]
    speed = {name: weights.size / 1e6 / statistics.median(times) for name, times in seconds.items()}
    return {"type": kind.name, "imatrix": weighted, **speed, "ratio": statistics.median(ratios), "ratios": ratios}


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of this thread for at least 50 ms of work, divided by the number of repetitions."""
    start, count = time.thread_time(), 0
    while (now := time.thread_time()) - start < 0.05 or count == 0:
        work()
        count += 1
    return (now - start) / count


def processor() -> str:
    """Name the CPU and the level of x86-64 that the kernels pick on it."""
    text = Path("/proc/cpuinfo").read_text("utf-8")
    name = text.partition("model name")[2].partition("\n")[0].lstrip("\t :") or "unknown processor"
    level = "AVX-512" if "avx512bw" in text else "AVX2" if "avx2" in text else "SSE2"
    return f"{name} ({level})"


if __name__ == "__main__":
    main()

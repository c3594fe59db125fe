"""Compare this checkout with an older one: what a change of the structure costs. Prints the ratio of each pair, old / new.

    git worktree add ../old COMMIT && make -C ../old dev
    python -m benchmarks.before --python ../old/.venv/bin/python --model DIR

Each pair runs the same conversion with both, whole processes, in alternating order; the checkpoint lies in the page cache, and
no smoke test runs. Above 1, this checkout is better.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from .processes import in_turn, warm

CONVERSIONS = {
    "openvino-int4": ["openvino", "-p", "int4"],
    "gguf-q4_k_m": ["gguf", "--type", "q4_k_m"],
    "onnx-int8": ["onnx", "-p", "int8"],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.before", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("conversions", nargs="*", metavar="CONVERSION", help=", ".join(CONVERSIONS))
    parser.add_argument("--python", required=True, help="of the older checkout's environment")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["EDGECONV_SMOKE_TEST"] = "0"
    warm(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in arguments.conversions or CONVERSIONS:
            ratios = compare(name, arguments.python, arguments.model.resolve(), arguments.pairs, work)
            shown = (
                f"{figure} {statistics.median(r):.3f} ({min(r):.3f} to {max(r):.3f})" for figure, r in ratios.items()
            )
            print(f"{name}: {', '.join(shown)}")


def compare(name: str, python: str, model: Path, pairs: int, work: Path) -> dict[str, list[float]]:
    """Return the ratios of each figure, old / new, a pair each."""
    out = work / "out"
    command, *options = CONVERSIONS[name]

    def clear(_: str) -> None:
        shutil.rmtree(out, ignore_errors=True)

    line = ["-P", "-m", "edgeconv", command, "--model", str(model), *options, "--output", str(out / "x"), "--quiet"]
    sides = {"now": [[sys.executable, *line]], "before": [[python, *line]]}
    runs = in_turn(sides, pairs, work, clear, clear)
    return {
        figure: [old[figure] / new[figure] for old, new in zip(runs["before"], runs["now"], strict=True)]
        for figure in ("wall", "cpu", "anonymous")
    }


if __name__ == "__main__":
    main()

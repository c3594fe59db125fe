"""`edgeconv openvino` beside `optimum-cli export openvino`, whole commands in turn, on a full-size checkpoint.

    python -m benchmarks.openvino --size 1.5b --case default --pairs 3 --json result.json
    python -m benchmarks.openvino --size v-2b --alone     (optimum-cli does not know GLM-Edge-V)

Each pair runs both once, in alternating order, after a warm-up that puts the checkpoint into the page cache. Reported: medians
and the ratio of each pair's figures (its median and range).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import geometry
from .measure import Measured, measure

CASES: dict[str, tuple[list[str], list[str]]] = {
    # the default of GLM-Edge: sym, group 128, ratio 0.8 (of GLM-Edge-V: 64 and 0.6)
    "default": (["--precision", "int4"], ["--weight-format", "int4", "--sym", "--group-size", "128", "--ratio", "0.8"]),
    "ratio1": (
        ["--precision", "int4", "--ratio", "1.0"],
        ["--weight-format", "int4", "--sym", "--group-size", "128", "--ratio", "1.0"],
    ),
    "int8": (["--precision", "int8"], ["--weight-format", "int8"]),
    "bf16": (["--precision", "bf16"], ["--weight-format", "fp32"]),  # optimum keeps a bf16 source as bf16
}
SIZES = geometry.SIZES
FIGURES = ("wall", "cpu", "anonymous", "rss", "written")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="1.5b")
    parser.add_argument("--case", choices=CASES, default="default")
    parser.add_argument("--engine", choices=("stream", "trace"), default="stream")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--alone", action="store_true", help="do not run the peer (it needs more memory than some machines have)"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgeconv-bench")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    source = arguments.work / f"glm-edge-{arguments.size}"
    if not (source / "config.json").is_file():
        geometry.make(source, SIZES[arguments.size])
    result = compare(source, arguments.case, arguments.engine, arguments.pairs, arguments.work, alone=arguments.alone)
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def compare(source: Path, case: str, engine: str, pairs: int, work: Path, *, alone: bool = False) -> dict[str, Any]:
    """Run both sides in turn and return all measurements."""
    ours, theirs = CASES[case]
    out = work / "out"
    commands = {
        "edgeconv": [sys.executable, "-m", "edgeconv", "openvino", "--model", str(source), "--engine", engine, *ours,
                     "--output", str(out), "-q"],
        "optimum-cli": [sys.executable, "-m", "benchmarks.peer_optimum", "export", "openvino", "--model", str(source),
                        "--task", "text-generation-with-past", *theirs, str(out)],
    }  # fmt: skip
    if alone:
        del commands["optimum-cli"]
    for shard in sorted([*source.glob("*.safetensors"), *source.glob("*.bin")]):  # warm the page cache
        with shard.open("rb") as file:
            while file.read(1 << 24):
                pass
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    sizes: dict[str, int] = {}
    for pair in range(pairs):
        order = list(commands) if pair % 2 == 0 else list(commands)[::-1]
        for name in order:
            shutil.rmtree(out, ignore_errors=True)
            runs[name].append(measure(commands[name], work / f"{name}.log", cwd=Path(__file__).parents[1]))
            sizes[name] = sum(path.stat().st_size for path in out.glob("openvino_*model.bin"))
            print(f"{name}: {runs[name][-1]}", file=sys.stderr)
    shutil.rmtree(out, ignore_errors=True)
    return {
        "case": case,
        "engine": engine,
        "source": source.name,
        "machine": f"{platform.processor() or platform.machine()}, {len(__import__('os').sched_getaffinity(0))} cores",
        "bin_bytes": sizes,
        "runs": {name: [run.as_dict() for run in made] for name, made in runs.items()},
    }


def table(result: dict[str, Any]) -> str:
    """Render medians and ratios."""
    names = list(result["runs"])
    lines = [
        f"{result['source']}, {result['case']}, engine {result['engine']}, {len(result['runs'][names[0]])} runs each"
    ]
    lines.append(f"{'':10} " + " ".join(f"{name:>14}" for name in names) + f" {'ratio (min–max)':>22}")
    for figure in FIGURES:
        columns = [[run[figure] for run in result["runs"][name]] for name in names]
        scale = 1e9 if figure in ("anonymous", "rss", "written") else 1
        unit = "GB" if scale > 1 else "s"
        cells = [f"{statistics.median(c) / scale:11.2f} {unit:>2}" for c in columns]
        ratio = ""
        if len(columns) == 2:
            ratios = [b / a for a, b in zip(*columns, strict=True) if a]
            ratio = f"{statistics.median(ratios):6.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else ""
        lines.append(f"{figure:10} " + " ".join(cells) + f" {ratio:>22}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""`edgeconv gguf` beside llama.cpp's two steps (convert_hf_to_gguf.py, then llama-quantize), whole processes in turn.

    python -m benchmarks.gguf --converter llama.cpp/convert_hf_to_gguf.py --size 1.5b --type q4_k_m --pairs 3 --json result.json
    python -m benchmarks.gguf --converter … --source builtin     (the small built-in model: does everything run?)

Each pair runs both sides once, in alternating order, after a warm-up that puts the checkpoint into the page cache. Of the two
steps time, CPU and bytes written are added up, and the higher peak of memory counts. Reported: medians, the ratio of each pair's
figures, and whether both sides wrote the same bytes for each tensor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.builtin import model_path
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import FILE_TYPES

from . import geometry
from .measure import Measured, measure

ROOT = Path(__file__).parents[1]
UNITS = {"wall": "s", "cpu": "s", "anonymous": "MB", "rss": "MB", "written": "MB"}
OURS, THEIRS = "edgeconv", "llama.cpp"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--converter", type=Path, required=True, help="convert_hf_to_gguf.py of a llama.cpp checkout")
    parser.add_argument("--source", help="a checkpoint's folder, or 'builtin'; default: a random one of --size")
    parser.add_argument("--size", choices=geometry.SIZES, default="1.5b")
    parser.add_argument("--type", choices=FILE_TYPES, default="q4_k_m")
    parser.add_argument(
        "--outtype", choices=("f16", "bf16", "f32"), default="bf16", help="of the file between the steps"
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgeconv-bench")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    result = compare(_source(arguments), arguments)
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def _source(arguments: argparse.Namespace) -> Path:
    if arguments.source == "builtin":
        return model_path()
    if arguments.source:
        return Path(arguments.source)
    source = Path(arguments.work / f"glm-edge-{arguments.size}")
    if not (source / "config.json").is_file():
        geometry.make(source, geometry.SIZES[arguments.size])
    return source


def compare(source: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run both sides in turn and return all measurements."""
    work, out = arguments.work, arguments.work / "gguf-out"
    peer = [sys.executable, "-m", "benchmarks.peer_llama_cpp"]
    between, theirs, ours = out / "between.gguf", out / "theirs.gguf", out / "ours.gguf"
    sides: dict[str, dict[str, list[str]]] = {
        OURS: {"edgeconv": [sys.executable, "-m", "edgeconv", "gguf", "-m", str(source), "-t", arguments.type,
                            "-o", str(ours), "--force", "-q"]},
        THEIRS: {
            "convert": [*peer, "convert", str(arguments.converter), str(source), str(between), "--outtype", arguments.outtype],
            "quantize": [*peer, "quantize", str(between), str(theirs), str(FILE_TYPES[arguments.type].number)],
        },
    }  # fmt: skip
    _warm(source)
    runs: dict[str, list[dict[str, Measured]]] = {side: [] for side in sides}
    sizes: dict[str, int] = {}
    for pair in range(arguments.pairs):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for side in list(sides) if pair % 2 == 0 else list(sides)[::-1]:
            steps = {name: measure(command, work / f"{name}.log", cwd=ROOT) for name, command in sides[side].items()}
            runs[side].append(steps)
            print(f"{side}: {steps}", file=sys.stderr)
            sizes = {path.name: path.stat().st_size for path in sorted(out.glob("*.gguf"))}
            between.unlink(missing_ok=True)
    same, all_tensors = identical(ours, theirs)
    shutil.rmtree(out)
    return {
        "source": source.name,
        "type": arguments.type,
        "machine": f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "bytes": sizes,
        "identical": same,
        "tensors": all_tensors,
        "steps": {s: [{n: m.as_dict() for n, m in run.items()} for run in made] for s, made in runs.items()},
        "runs": {side: [total(run) for run in made] for side, made in runs.items()},
    }


def _warm(source: Path) -> None:
    for shard in sorted(source.glob("*.safetensors")):
        with shard.open("rb") as file:
            while file.read(1 << 24):
                pass


def total(steps: dict[str, Measured]) -> dict[str, float]:
    """Add steps up; of memory the higher peak counts."""
    made = list(steps.values())
    return {
        "wall": sum(step.wall for step in made),
        "cpu": sum(step.cpu for step in made),
        "anonymous": max(step.anonymous for step in made),
        "rss": max(step.rss for step in made),
        "written": sum(step.written for step in made),
    }


def identical(ours: Path, theirs: Path) -> tuple[int, int]:
    """Count the tensors whose type and bytes are the same in both files, and all of theirs."""
    a, b = open_gguf(ours), open_gguf(theirs)
    same = [
        name for name in b.tensors
        if name in a.tensors and a.tensors[name].type == b.tensors[name].type
        and np.array_equal(a.data(name), b.data(name))
    ]  # fmt: skip
    return len(same), len(b.tensors)


def table(result: dict[str, Any]) -> str:
    """Render medians and ratios."""
    runs = result["runs"]
    lines = [f"{result['source']}, {result['type']}, {len(runs[OURS])} runs each, {result['machine']}"]
    lines.append(f"{'':10} {OURS:>14} {THEIRS:>14} {'ratio (min–max)':>22}")
    for figure, unit in UNITS.items():
        columns = [[run[figure] for run in runs[side]] for side in (OURS, THEIRS)]
        scale = 1e6 if unit == "MB" else 1
        cells = [f"{statistics.median(column) / scale:11.2f} {unit:>2}" for column in columns]
        ratios = [b / a for a, b in zip(*columns, strict=True) if a]
        ratio = f"{statistics.median(ratios):6.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else ""
        lines.append(f"{figure:10} " + " ".join(cells) + f" {ratio:>22}")
    lines.append(f"tensors of the same type and bytes: {result['identical']} of {result['tensors']}")
    lines.append("files: " + ", ".join(f"{name} {size:,} bytes" for name, size in result["bytes"].items()))
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Run the commands of both sides in turn (A B, B A, …), each a whole process, and measure them."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import geometry
from .measure import measure

ROOT = Path(__file__).parents[1]


def checkpoint(work: Path, size: str) -> Path:
    """Return a full-size checkpoint of random weights, made if it is not there, and put it into the page cache."""
    known = geometry.SIZES[size]
    edge = isinstance(known, geometry.Geometry) and known.model_type == "glm"
    source = work / (f"glm-edge-{size}" if edge else size)
    if not (source / "config.json").is_file():
        shutil.rmtree(source, ignore_errors=True)
        geometry.make(source, known)
    warm(source)
    return source


def warm(source: Path) -> None:
    """Read every shard once."""
    for shard in sorted([*source.glob("*.safetensors"), *source.glob("*.bin")]):
        with shard.open("rb") as file:
            while file.read(1 << 24):
                pass


def in_turn(
    sides: Mapping[str, Sequence[list[str]]],
    pairs: int,
    work: Path,
    before: Callable[[str], None],
    after: Callable[[str], None],
) -> dict[str, list[dict[str, float]]]:
    """Run each side's steps `pairs` times, in alternating order.

    Args:
        sides: name → its steps, commands that run one after the other; ours first.
        pairs: runs of each side.
        work: for the logs.
        before: is told the side before its first step.
        after: is told the side after its last step.

    Returns:
        Side → for each run its figures; of several steps they are added up, and of memory the higher peak counts.
    """
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for pair in range(pairs):
        for name in list(sides) if pair % 2 == 0 else list(sides)[::-1]:
            before(name)
            steps = [measure(step, work / f"{name}.log", cwd=ROOT).as_dict() for step in sides[name]]
            runs[name].append({figure: _together(figure, steps) for figure in steps[0]})
            print(f"{name}: {runs[name][-1]}", file=sys.stderr, flush=True)
            after(name)
    return runs


def _together(figure: str, steps: Sequence[Mapping[str, float]]) -> float:
    values = [step[figure] for step in steps]
    return max(values) if figure in ("anonymous", "rss") else sum(values)


def version(python: str, package: str) -> str:
    """Name a package and its version in the environment of `python`."""
    if python == sys.executable:
        return f"{package} {importlib.metadata.version(package)}"
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return f"{package} {found.stdout.strip()}"


def sizes(folder: Path, pattern: str) -> float:
    """Return the GB of the files that match."""
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1e9


def last_line(log: Path) -> str:
    """What a process said last."""
    lines: list[Any] = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return str(lines[-1]) if lines else ""

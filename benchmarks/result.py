"""The one form of every benchmark's result, and what it says: medians, the ratio of each pair, and whether a target is met."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

UNITS = {"wall": "s", "cpu": "s", "anonymous": "GB", "rss": "GB", "written": "GB", "read": "GB", "size": "GB"}
"""Of the figures of a process; GB are 1e9 bytes."""
SOURCE = "size of the source"
LABELS = {
    "wall": "wall",
    "cpu": "CPU",
    "anonymous": "peak anonymous memory",
    "rss": "peak memory with mapped files",
    "written": "written to disk",
    "read": "read from disk",
    "size": "size of the result",
}


@dataclass(frozen=True)
class Figure:
    """One figure of both sides, a value a run; the runs of one index make a pair.

    Attributes:
        name: what it is.
        unit: "s", "GB", "tokens/s", "nats" or "".
        ours: edgeconv's.
        theirs: the peer's; empty if there is none.
        more_is_better: then a ratio is ours / theirs, else theirs / ours: above 1 we are ahead.
        at_least: the ratio that is aimed at.
        at_most: the value of ours that is aimed at.
    """

    name: str
    unit: str
    ours: list[float]
    theirs: list[float] = field(default_factory=list)
    more_is_better: bool = False
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratios(self) -> list[float]:
        """One for each pair."""
        pairs = zip(self.ours, self.theirs, strict=False)
        return [(a / b if self.more_is_better else b / a) for a, b in pairs if a and b]

    @property
    def met(self) -> bool | None:
        """Whether the medians meet the targets; None if there is none."""
        found = []
        if self.at_least is not None:
            found.append(bool(self.ratios) and statistics.median(self.ratios) >= self.at_least)
        if self.at_most is not None:
            found.append(statistics.median(self.ours) <= self.at_most)
        return all(found) if found else None


@dataclass(frozen=True)
class Result:
    """One benchmark.

    Attributes:
        name: of the case.
        title: what was done.
        command: that does it again.
        peer: its name and version, or "" without one.
        figures: what was measured.
        notes: what must be said beside them.
    """

    name: str
    title: str
    command: str
    peer: str
    figures: list[Figure]
    notes: list[str] = field(default_factory=list)
    machine: str = ""
    date: str = ""

    def write(self, folder: Path) -> Path:
        """Write NAME.json, with machine and date."""
        whole = asdict(self) | {"machine": machine(), "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what `write` wrote."""
        whole = json.loads(path.read_text("utf-8"))
        return cls(**{**whole, "figures": [Figure(**figure) for figure in whole["figures"]]})


@dataclass(frozen=True)
class Target:
    """What is aimed at: a ratio of at least so much, or a value of ours of at most so much, in the figure's unit."""

    at_least: float | None = None
    at_most: float | None = None


def of_runs(
    runs: Mapping[str, Sequence[Mapping[str, float]]], targets: Mapping[str, Target], names: Sequence[str]
) -> list[Figure]:
    """Turn measured processes (`measure.Measured`, as dictionaries) into figures; the first side is ours."""
    sides = [list(made) for made in runs.values()]
    figures = []
    for name in names:
        scale = 1e9 if UNITS[name] == "GB" else 1
        columns = [[run[name] / scale for run in side] for side in sides]
        target = targets.get(name, Target())
        figures.append(
            Figure(
                LABELS[name], UNITS[name], columns[0], columns[1] if len(columns) > 1 else [],
                at_least=target.at_least, at_most=target.at_most,
            )
        )  # fmt: skip
    return figures


def machine() -> str:
    """Name processor, cores and memory."""
    info = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    processor = next(
        (line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine()
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB of memory, {platform.system()}"


def describe(figure: Figure) -> dict[str, Any]:
    """The cells of a table's row."""
    ratios = figure.ratios
    span = f" ({min(ratios):.2f}–{max(ratios):.2f})" if len(ratios) > 1 else ""
    aims = [f"≥ {figure.at_least:g} ×"] if figure.at_least is not None else []
    aims += [f"≤ {figure.at_most:g} {figure.unit}".strip()] if figure.at_most is not None else []
    return {
        "figure": figure.name,
        "ours": _value(figure.ours, figure.unit),
        "theirs": _value(figure.theirs, figure.unit) if figure.theirs else "",
        "ratio": f"{statistics.median(ratios):.2f} ×{span}" if ratios else "",
        "target": ", ".join(aims),
        "met": {True: "yes", False: "**no**", None: ""}[figure.met],
    }


def _value(values: Sequence[float], unit: str) -> str:
    middle = statistics.median(values)
    digits = 5 if unit == "nats" else 3 if abs(middle) < 0.1 else 2 if abs(middle) < 100 else 0
    return f"{middle:.{digits}f} {unit}".strip()

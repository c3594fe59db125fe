"""docs/benchmarks.md and its pictures, from the results."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from . import disk, growth, pictures
from .cases import CASES
from .result import LABELS, SOURCE, Result, describe

_HEAD = """# Benchmarks

Written by `python -m benchmarks --report` from the results in [docs/benchmarks](benchmarks); do not edit. `make bench` measures
everything again; the command above each table measures that one. Both sides run whole processes in turn (A B, B A, …) on
checkpoints that lie in the page cache; shown are medians, and of the ratio of each pair the median and the range. A ratio above 1
is in edgeconv's favor. GB are 10⁹ bytes. Conversions are measured without their smoke test. The full-size checkpoints have
random weights (`python -m benchmarks.geometry`).
"""


def write(results: Path, page: Path) -> None:
    """Write the page and its pictures from every result that is there."""
    found = {name: Result.read(results / f"{name}.json") for name in CASES if (results / f"{name}.json").is_file()}
    parts = [_HEAD, _pictures(found, results, page.parent)]
    for name, result in found.items():
        parts.append(_section(name, result, found.get("disk")))
    page.write_text("\n".join(part for part in parts if part), "utf-8")


def _pictures(found: dict[str, Result], results: Path, folder: Path) -> str:
    lines = []
    rows = [
        (result.title, figure)
        for result in found.values()
        for figure in result.figures
        if figure.name in (LABELS["wall"], LABELS["anonymous"]) and figure.ratios
    ]
    if rows:
        (results / "ratios.svg").write_text(pictures.ratios(rows), "utf-8")
        lines.append(f"![Ratios of time and memory]({results.relative_to(folder)}/ratios.svg)\n")
    if "growth" in found:
        (results / "growth.svg").write_text(pictures.growth(_points(found["growth"])), "utf-8")
        lines.append(f"![Time and memory by the size of the model]({results.relative_to(folder)}/growth.svg)\n")
    return "\n".join(lines)


def _points(result: Result) -> list[tuple[float, float, float]]:
    """Return (GB of the source, seconds, GB of anonymous memory) of each size."""
    values = {figure.name: statistics.median(figure.ours) for figure in result.figures}
    return [
        (values[f"{size}: {SOURCE}"], values[f"{size}: {LABELS['wall']}"], values[f"{size}: {LABELS['anonymous']}"])
        for size in growth.SIZES
    ]


def _section(name: str, result: Result, speeds: Result | None) -> str:
    peer = bool(result.peer)
    header = ["", "edgeconv", *(["peer", "ratio"] if peer else []), "target", "met"]
    rows = [describe(figure) for figure in result.figures]
    cells = [
        [row["figure"], row["ours"], *([row["theirs"], row["ratio"]] if peer else []), row["target"], row["met"]]
        for row in rows
    ]
    floor = _floor(result, speeds)
    lines = [f"## {name}: {result.title}", "", f"`{result.command}`" + (f", beside {result.peer}" if peer else ""), ""]
    lines += _table(header, cells)
    lines += ["", *([floor, ""] if floor else []), *(f"{note}\n" for note in result.notes)]
    lines.append(f"{result.machine}; {result.date}\n")
    return "\n".join(lines)


def _floor(result: Result, speeds: Result | None) -> str:
    """Say how near a conversion is to what the disk alone would take."""
    values = {figure.name: statistics.median(figure.ours) for figure in result.figures}
    if speeds is None or not {SOURCE, LABELS["wall"], LABELS["written"]} <= values.keys():
        return ""
    rate = {figure.name: statistics.median(figure.ours) for figure in speeds.figures}
    seconds = values[SOURCE] / rate[disk.READING] + values[LABELS["written"]] / rate[disk.WRITING]
    ratio = values[LABELS["wall"]] / seconds
    return (
        f"Physical floor: {values[SOURCE]:.2f} GB read and {values[LABELS['written']]:.2f} GB written at this disk's speed "
        f"would take {seconds:.1f} s; edgeconv takes {ratio:.1f} times that (with the source in the page cache)."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]

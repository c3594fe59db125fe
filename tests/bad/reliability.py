"""Writes docs/reliability.md from the tests: `python -m tests.bad.reliability [--check] FILE`.

Rows are the markers `fault` that pytest collects; what edgeconv did is what the tests recorded (outcomes.json), or what the
marker says; figures of the long campaigns come from docs/reliability.json.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core import schema_file

from . import outcomes

ROOT = Path(__file__).parents[2]
TEMPLATE = Path(__file__).with_name("reliability.md")
FIGURES = ROOT / "docs" / "reliability.json"
GROUPS = {
    "checkpoint": "Checkpoints",
    "untrusted": "Code and paths of strangers",
    "template": "Chat templates",
    "tokenizer": "Tokenizers",
    "GGUF": "GGUF files",
    "artifact": "Converted models",
    "chat": "Chat",
    "parity": "Parity",
    "publish": "Publishing",
    "hub": "The Hub",
    "process": "Process",
    "run": "Runs of a recipe",
    "disk": "Disk",
    "memory": "Memory",
    "recipe": "Recipes",
    "option": "Options",
    "odd": "Long and odd",
}
"""First words of titles, in the order of the document; others come last."""
Rows = dict[str, tuple[str | None, list[str]]]
"""Title → what the marker says is done about it, and the tests as file::function."""


class _Collector:
    """A plugin of pytest that keeps the markers."""

    def __init__(self) -> None:
        self.rows: Rows = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for marker in item.iter_markers("fault"):
                says, tests = self.rows.get(marker.args[0], (None, []))
                test = item.nodeid.partition("[")[0]
                self.rows[marker.args[0]] = (marker.kwargs.get("says", says), tests + [test] * (test not in tests))


def collect() -> Rows:
    """Return the faults of all tests, without running one."""
    marked = [
        str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.fault" in path.read_text("utf-8")
    ]
    collector, said = _Collector(), io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *marked], [collector])
    if code:
        sys.exit(said.getvalue())
    return collector.rows


def render() -> str:
    """Return the document."""
    rows, recorded = collect(), outcomes.read()
    stale = sorted(set(recorded) - set(rows))
    if stale:
        sys.exit(f"{outcomes.PATH.name} records faults that no test has any more: {', '.join(stale)}")
    texts = {"count": str(len(rows)), "tables": _tables(rows, recorded), "campaigns": _campaigns()}
    document = TEMPLATE.read_text("utf-8")
    for name, text in texts.items():
        document = document.replace(f"{{{{ {name} }}}}", text)
    return document


def _tables(rows: Rows, recorded: outcomes.Outcomes) -> str:
    def group(title: str) -> str:
        return title.partition(":")[0]

    order = [*GROUPS, *sorted({group(title) for title in rows} - set(GROUPS))]
    titles = sorted(rows, key=lambda title: (order.index(group(title)), title.lower()))
    parts = []
    for name, members in itertools.groupby(titles, group):
        lines = [
            f"### {GROUPS.get(name, name.capitalize())}",
            "",
            "| Fault | What edgeconv does | Test |",
            "| --- | --- | --- |",
        ]
        for title in members:
            says, tests = rows[title]
            done = _done(says, recorded.get(title, {}))
            lines.append(f"| {_cell(title.partition(':')[2].strip())} | {done} | {', '.join(map(_link, tests))} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _done(says: str | None, recorded: dict[str, dict[str, Any]]) -> str:
    """Put what was said into a cell: once if all commands say the same."""
    parts = [_cell(says)] if says else []
    answers: dict[str, list[str]] = {}
    for command, seen in sorted(recorded.items()):
        hint = f" *{_cell(seen['hint'])}*" if seen["hint"] else ""
        answers.setdefault(f"{seen['exit']}: {_cell(seen['message'])}{hint}", []).append(command)
    parts += [f"`{'`, `'.join(commands)}` {answer}" for answer, commands in answers.items()]
    return "<br>".join(parts) or "Refused with an error; the test compares it."


def _cell(text: str) -> str:
    for character in "\\|<>*_`[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f'[{Path(path).stem.removeprefix("test_")}](../{path} "{name}")'


def _campaigns() -> str:
    found = json.loads(FIGURES.read_text("utf-8")) if FIGURES.is_file() else {}
    parts = []
    if kills := found.get("kills"):
        parts += [
            f"**Kills** ({kills['date']}): {kills['kills']:,} of {len(kills['commands'])} commands, by SIGKILL, SIGTERM and "
            f"SIGINT, at every stage boundary and at random times (seed {kills['seed']}). Bytes lost: {kills['bytes_lost']:,}.",
            _table("Command", kills["commands"]),
        ]
    if fuzz := found.get("fuzz"):
        parts += [
            f"**Fuzzing** ({fuzz['date']}): {fuzz['executions']:,} executions (seed {fuzz['seed']}). Crashes: "
            f"{fuzz['crashes']}, hangs: {fuzz['hangs']}, escapes from the folder: {fuzz['escapes']}.",
            _table("Reader", fuzz["targets"]),
        ]
    if large := found.get("large"):
        parts += [
            f"**Large** ({large['date']}): two tensors of 4 GB, each conversion with at most {large['limit'] >> 20:,} MiB of "
            "memory of its own (RLIMIT_DATA).",
            _table("Command", large["commands"]),
        ]
    if exact := found.get("exact"):
        parts += [
            f"**Exact artifacts** ({exact['date']}): {len(exact['cases'])} tiny models, of every family and with real "
            "tokenizers, each converted without loss and validated. An artifact that fails is a false alarm. A figure is "
            f"undecided where {exact['tokens']:,} tokens do not settle it: between experts, random weights choose by a hair, "
            "and the device's defaults choose others in some texts.",
            _table("Format", exact["formats"]),
            *_said(exact),
        ]
    return "\n\n".join(parts) or "Not measured yet."


def _said(exact: dict[str, Any]) -> list[str]:
    """What the refusals say and which figures stayed undecided, the models of one reason in one row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for case, forms in exact.get("said", {}).items():
        name = case.partition(" ")[2]
        for form, text in forms.items():
            outcome = exact["cases"][case][form]
            rows.setdefault((form, outcome, text.replace(name.partition(" ")[0], "…")), []).append(name)
    if not rows:
        return []
    lines = [
        f"| {form} | {outcome} | {text} | {', '.join(names)} |" for (form, outcome, text), names in sorted(rows.items())
    ]
    return ["\n".join(["| Format | Outcome | Reason | Models |", "| --- | --- | --- | --- |", *lines])]


def _table(first: str, rows: dict[str, dict[str, Any]]) -> str:
    columns = [name for name, value in next(iter(rows.values())).items() if isinstance(value, int)]
    lines = [f"| {first} | {' | '.join(name.replace('_', ' ') for name in columns)} |"]
    lines += ["| --- |" + " ---: |" * len(columns)]
    lines += [
        f"| {name} | {' | '.join(f'{row[column]:,}' for column in columns)} |" for name, row in sorted(rows.items())
    ]
    return "\n".join(lines)


def main() -> int:
    """Write the file, or with `--check` say whether it is current."""
    return schema_file.main("python -m tests.bad.reliability", lambda _: render())


if __name__ == "__main__":
    sys.exit(main())

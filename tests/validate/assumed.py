"""What the tests of `validate.assumptions` share: examining a folder, and small changes to its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeconv.core.progress import Silent
from edgeconv.hub.fetch import fetch_metadata
from edgeconv.hub.source import parse
from edgeconv.validate.checkpoint_checks import Report, Row, examine

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"
Change = Callable[[Path], object]


def report(folder: Path) -> Report:
    return examine(fetch_metadata(parse(str(folder)), progress=Silent()))


def named(found: Report) -> dict[str, Row]:
    """Rows by "topic: name", each of which there is once."""
    by_name = {f"{row.topic}: {row.name}": row for row in found.rows}
    assert len(by_name) == len(found.rows)
    return by_name


def rows(folder: Path) -> dict[str, Row]:
    return named(report(folder))


def of_status(folder: Path, status: str) -> list[str]:
    return [name for name, row in rows(folder).items() if row.status == status]


def edit(file: str, **changes: Any) -> Change:
    """Set keys of a JSON file; None takes one out."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text("utf-8")) | changes
        kept = {key: value for key, value in content.items() if value is not None}
        (folder / file).write_text(json.dumps(kept), "utf-8")

    return change


def replace(file: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / file).read_text("utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new), "utf-8")

    return change


def write(file: str, text: str) -> Change:
    return lambda folder: (folder / file).write_text(text, "utf-8")


def remove(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


def tensors(alter: Callable[[dict[str, Any]], object]) -> Change:
    """Apply a change to name → torch tensor, and write the file again."""

    def change(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        stored = load_file(folder / "model.safetensors")
        alter(stored)
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change

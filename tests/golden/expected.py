"""The expectations: a JSON file a group, case → what is compared → digest, so that a wanted change is a small diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("expected")
VERSIONS = "versions"


def read(group: str) -> dict[str, Any]:
    """Return the expectations of a group; none are an empty dictionary."""
    path = FOLDER / f"{group}.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content


def write(group: str, content: dict[str, Any]) -> None:
    """Write the expectations of a group."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=group == VERSIONS)
    (FOLDER / f"{group}.json").write_text(text + "\n", "utf-8")


def differences(wanted: dict[str, Any] | None, found: dict[str, Any]) -> list[str]:
    """Say in a line each what differs from what is expected of a case."""
    if wanted is None:
        return ["the corpus does not know this case: `make golden-update`"]
    told = [f"{name}: missing (expected {wanted[name]})" for name in wanted if name not in found]
    told += [f"{name}: not expected ({found[name]})" for name in found if name not in wanted]
    both = [name for name in wanted if name in found and wanted[name] != found[name]]
    return told + [f"{name}: expected {wanted[name]!r}, found {found[name]!r}" for name in both]

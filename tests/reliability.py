"""docs/reliability.json: the figures of the campaigns, one key each, written by `make kill` and `make fuzz`."""

from __future__ import annotations

import datetime
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[1] / "docs" / "reliability.json"


def before(key: str) -> dict[str, Any]:
    """Return the figures of a campaign as they stand; empty if there are none."""
    return dict(json.loads(PATH.read_text("utf-8")).get(key, {})) if PATH.is_file() else {}


def record(key: str, figures: dict[str, Any]) -> None:
    """Replace the figures of one campaign."""
    found = json.loads(PATH.read_text("utf-8")) if PATH.is_file() else {}
    when = datetime.datetime.now(datetime.UTC).date().isoformat()
    found[key] = {"date": when, "edgeconv": version("edgeconv"), "python": platform.python_version(), **figures}
    PATH.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")

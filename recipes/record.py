"""What is kept beside an artefact, so that a later run knows whose it is."""

from __future__ import annotations

import json
from typing import Any

from .unit import Unit


class Record:
    """The resolved recipe beside an artefact: by what it was made, and to what it was held."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def write(self, measurement: dict[str, Any] | None) -> None:
        """Write it; `measurement` is None until a report is there."""
        content = {"conversion": self._unit.conversion(), "measurement": measurement}
        self._unit.record.parent.mkdir(parents=True, exist_ok=True)
        partial = self._unit.record.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
        partial.replace(self._unit.record)

    def read(self, part: str) -> Any:
        """Return a part of it; None if there is no record that can be read."""
        try:
            content = json.loads(self._unit.record.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return content.get(part) if isinstance(content, dict) else None

"""What is kept beside an artifact, so that a later run knows whose it is."""

from __future__ import annotations

import json
from typing import Any

from ..core import limits
from ..core.errors import ArtifactError
from ..validate.report.write import write_file
from .unit import Unit


class Record:
    """The resolved recipe beside an artifact: by what it was made, and to what it was held."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def write(self, measurement: dict[str, Any] | None) -> None:
        """Write it; `measurement` is None until a report is there.

        Raises:
            OutputError: it cannot be written, or a file of somebody else's has its name.
        """
        content = {"conversion": self._unit.conversion(), "measurement": measurement}
        write_file(self._unit.record, json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")

    def read(self, part: str) -> Any:
        """Return a part of it; None if there is no record that can be read."""
        try:
            content = json.loads(limits.read_text(self._unit.record, limits.RECORD, ArtifactError))
        except (OSError, ValueError):
            return None
        return content.get(part) if isinstance(content, dict) else None

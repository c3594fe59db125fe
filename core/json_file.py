"""Read a JSON object of a checkpoint without trusting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import CheckpointError

_MAX_JSON = 200_000_000


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object (a byte-order mark is tolerated). Raises CheckpointError if it is none."""
    if path.stat().st_size > _MAX_JSON:
        raise CheckpointError(
            f"{path.name} has {path.stat().st_size:,} bytes, which no such file needs.", "Download the file again."
        )
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {error}.", "Download the file again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object.", "Download the file again.")
    return content

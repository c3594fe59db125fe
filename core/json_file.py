"""Read a JSON object of a checkpoint without trusting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import limits
from .errors import CheckpointError

_SURROGATE = "\\ud"
"""How JSON writes the halves of characters beyond 65,536; two make one, one alone is not a text."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object (a byte-order mark is tolerated). Raises CheckpointError if it is none."""
    try:
        text = limits.read_text(path, limits.JSON, encoding="utf-8-sig", hint="Download the file again.")
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {error}.", "Download the file again.") from error
    if _SURROGATE in text.lower() and not _is_text(content):
        raise CheckpointError(
            f"{path.name} holds half a character (\\ud800 to \\udfff without its other half).",
            "Download the file again.",
        )
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object.", "Download the file again.")
    return content


def _is_text(content: Any) -> bool:
    """True if every string of it can be written as UTF-8."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True

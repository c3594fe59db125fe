"""A folder in the cache with a seal beside it: SHA-256 of each file. What was damaged or altered since does not fit."""

from __future__ import annotations

import json
from pathlib import Path

from .digest import sha256_file


def seal(folder: Path, place: Path) -> None:
    """Write the seal of a folder's files for the name that it will have. Raises OSError."""
    _seal_of(place).write_text(json.dumps(_digests(folder)), "utf-8")


def is_sound(place: Path) -> bool:
    """Whether a folder's files are those that were sealed."""
    try:
        return bool(json.loads(_seal_of(place).read_text("utf-8")) == _digests(place))
    except (OSError, ValueError):  # absent, cut short, or unreadable
        return False


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def _seal_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")

"""What a path's name says: whether it is text, as the libraries underneath need it, and what the model in a folder is called."""

from __future__ import annotations

import os
import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CACHED = re.compile(r"models--(?:.+--)?(?P<name>.+)")


_PIECE = re.compile(r"(?<=\.gguf)[._-]((part|split|chunk)[._-]?\w{1,12}|\d{1,3})$", re.IGNORECASE)
"""How the pieces of a file are named that was cut by split and the like."""


def is_text(path: Path) -> bool:
    """Whether the whole path, as it would be opened, is UTF-8."""
    try:
        os.path.abspath(path).encode()  # noqa: PTH100 - links are not followed
    except UnicodeEncodeError:
        return False
    return True


def model_name(folder: Path) -> str:
    """Return a folder's name; of a snapshot in the Hub's cache, whose name is a commit, that of the repository."""
    folder = folder.resolve()
    cached = _CACHED.fullmatch(folder.parent.parent.name)
    if cached and folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
        return cached["name"]
    return folder.name


def join_hint(path: Path) -> str | None:
    """Return what to do with a piece of a GGUF that was cut for its size, by its name; None for another file."""
    found = _PIECE.search(path.name)
    if found is None:
        return None
    whole = path.name[: found.start()]
    return f"By its name it is a piece of {whole}: join all pieces in their order (cat {whole}.* > {whole})."

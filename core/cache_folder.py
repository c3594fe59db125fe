"""Where edgeconv keeps what it can make again: `$EDGECONV_CACHE`, else where the system keeps caches.

The variable may name a folder in use, and the parts of a cache have common names. So each part has a marker of ours, and one that
holds something else is left to its owner: then ours lies beside it under another name.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from pathlib import Path

from .lease import MARKER as SCRATCH
from .scratch import left_behind, sweep

MARKER = ".edgeconv-cache"
PARTS = ("reference", "native", "float32", "figures", "statistics", "digests")
_MAGIC = "edgeconv-cache-1"
_ENTRY = re.compile(r"([\w.]+-)*[0-9a-f]{32}(\.json)?|[0-9a-f]{64}\.json")
"""How what is kept in a part is called: by digests. Nobody else's files are."""
_BOOK = "digests.json"
"""File of older versions."""


def cache_folder() -> Path:
    """Return the folder, which may not exist yet: on Linux `$XDG_CACHE_HOME/edgeconv`, or `~/.cache/edgeconv`."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("EDGECONV_CACHE") or user_cache_path("edgeconv", appauthor=False))


def part(name: str) -> Path:
    """Return a part's folder, which may not exist yet: under its name, or if that is somebody else's, under one of ours."""
    place = cache_folder() / name
    return place if _is_free(place) else place.with_name(f"edgeconv-{name}")


def open_part(name: str) -> Path:
    """Return a part's folder, made and marked if need be.

    Raises:
        OSError: it cannot be made.
    """
    return mark(part(name))


def mark(place: Path) -> Path:
    """Make a part's folder and put our marker into it, unless they are there; return it. Raises OSError."""
    place.mkdir(parents=True, exist_ok=True)
    marker = place / MARKER
    if not marker.exists():
        try:
            marker.write_text(json.dumps({"magic": _MAGIC, "id": secrets.token_hex(8)}) + "\n", "utf-8")
        except OSError:
            marker.unlink(missing_ok=True)
            raise
    return place


def clear() -> tuple[int, list[Path]]:
    """Remove what edgeconv keeps; return the bytes freed, and what was left in the folder: not ours, or in use."""
    root, freed = cache_folder(), 0
    if not root.is_dir():
        return 0, []
    for name in PARTS:
        for place in (root / name, root / f"edgeconv-{name}"):
            if place.is_dir() and not place.is_symlink() and _is_free(place):
                freed += _clear_part(place)
    book = root / _BOOK
    if _is_old_book(book):
        freed += book.stat().st_size
        book.unlink()
    return freed, sorted(root.iterdir())


def _clear_part(place: Path) -> int:
    before = _size(place)
    sweep(place, "")
    for path in place.iterdir():
        if _ENTRY.fullmatch(path.name) and not path.is_symlink():
            if path.is_dir():
                sweep(path, "")
                if not left_behind(path, ""):
                    shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
    if {path.name for path in place.iterdir()} <= {MARKER}:
        (place / MARKER).unlink(missing_ok=True)
        place.rmdir()
        return before
    return before - _size(place)


def _is_free(place: Path) -> bool:
    """Whether a folder is ours, or nobody's: not there, empty, or with nothing in it but what we name by digests."""
    if not os.path.lexists(place):
        return True
    try:
        if _is_marked(place / MARKER):
            return True
        scratches = {path.name for path in left_behind(place, "")}
        known = {MARKER, *scratches}  # a marker that a kill left half written says nothing, and harms nothing
        return all(path.name in known or _ENTRY.fullmatch(path.name) for path in place.iterdir())
    except OSError:
        return False


def _is_marked(marker: Path) -> bool:
    try:
        said = json.loads(marker.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("magic") == _MAGIC


def _is_old_book(path: Path) -> bool:
    """Whether a file is the book of digests that older versions kept: `path|size|times|inode` → SHA-256."""
    try:
        said = json.loads(path.read_text("utf-8")) if path.is_file() else None
    except (OSError, ValueError):
        return False
    return (
        isinstance(said, dict)
        and bool(said)
        and all(
            key.count("|") >= 4 and isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
            for key, value in said.items()
        )
    )


def _size(folder: Path) -> int:
    own = (MARKER, SCRATCH)
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.name not in own and p.is_file() and not p.is_symlink())

"""Figures that took long to make, kept one by one in the cache's folder, so that a run that was stopped goes on where it was.

A folder is named by the digest of all that shapes its figures: weights, token ids, options, versions. Each figure is kept with
a digest of its own, so that one that was damaged or altered counts as absent.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .cache_folder import cache_folder, open_part, part
from .progress import Progress
from .scratch import scratch, sweep

PARTIAL = ".partial-"
"""How folders of what is not kept yet begin."""
VERSIONS = ("edgeconv", "torch", "transformers")


def digest(content: Any) -> str:
    """Return the SHA-256 of something JSON-ready, whatever the order of its keys."""
    plain = json.loads(json.dumps(content))  # numbers as keys become texts, and would be sorted otherwise
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read(path: Path, progress: Progress) -> Any | None:
    """Return what a file of the cache keeps; None if it is not there as it was kept, which `progress` reports."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept["sha256"] == digest(kept["value"]):
            return kept["value"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # cut short, or not of this form
        pass
    progress.note(damaged(path))
    return None


def damaged(path: Path) -> str:
    """Say that something in the cache cannot be used, and where that is."""
    return f"In the cache {cache_folder()} {path.name} is damaged; it is made again. `edgeconv cache clear` empties the cache."


def write(path: Path, value: Any) -> None:
    """Keep a JSON-ready value in a file, which appears at once or not at all. Raises OSError."""
    with scratch(path.parent, PARTIAL) as place:
        made = place / "figure"
        made.write_text(json.dumps({"value": value, "sha256": digest(value)}), "utf-8")
        made.replace(path)


class Kept:
    """A folder of figures; each appears at once, or not at all."""

    def __init__(self, what: str, facts: dict[str, Any], progress: Progress, versions: tuple[str, ...] = ()) -> None:
        """Name the folder.

        Args:
            what: kind of the figures, in the folder's name.
            facts: all that shapes them, JSON-ready.
            progress: reports a cache that cannot be written to.
            versions: packages that shape them, beside torch, transformers and edgeconv.
        """
        content = {**facts, "versions": {name: version(name) for name in (*VERSIONS, *versions)}}
        self._name = f"{what}-{digest(content)[:32]}"
        self.folder = part("figures") / self._name
        self._progress = progress
        sweep(self.folder, PARTIAL)

    def get(self, name: str) -> Any | None:
        """Return what is kept under a name; None if it is not there as it was kept."""
        return read(self._path(name), self._progress)

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON-ready value. A cache that cannot be written to costs time, nothing else."""
        try:
            open_part("figures")
            self.folder.mkdir(exist_ok=True)
            write(self._path(name), value)
        except OSError as error:
            self._progress.note(f"{name} is not kept for the next run: {self.folder}: {error.strerror}.")

    def _path(self, name: str) -> Path:
        return self.folder / (hashlib.sha256(name.encode()).hexdigest() + ".json")

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

from ..core.cache_folder import cache_folder
from ..core.progress import Progress
from ..core.scratch import scratch, sweep

_PARTIAL = ".partial-"
VERSIONS = ("edgeconv", "torch", "transformers")


def digest(content: Any) -> str:
    """Return the SHA-256 of something JSON-ready, whatever the order of its keys."""
    plain = json.loads(json.dumps(content))  # numbers as keys become texts, and would be sorted otherwise
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


class Kept:
    """A folder of figures; each appears at once, or not at all."""

    def __init__(self, what: str, facts: dict[str, Any], progress: Progress, versions: tuple[str, ...] = ()) -> None:
        """Name the folder.

        Args:
            what: kind of the figures, in the folder's name.
            facts: all that shapes them, JSON-ready.
            progress: hears of a cache that cannot be written to.
            versions: packages that shape them, beside torch, transformers and edgeconv.
        """
        content = {**facts, "versions": {name: version(name) for name in (*VERSIONS, *versions)}}
        self.folder = cache_folder() / "figures" / f"{what}-{digest(content)[:32]}"
        self._progress = progress
        sweep(self.folder, _PARTIAL)

    def get(self, name: str) -> Any | None:
        """Return what is kept under a name; None if it is not there as it was kept."""
        try:
            kept = json.loads(self._path(name).read_text("utf-8"))
            return kept["value"] if kept["sha256"] == digest(kept["value"]) else None
        except (OSError, ValueError, KeyError, TypeError):  # absent, cut short, or not of this form
            return None

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON-ready value. A cache that cannot be written to costs time, nothing else."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with scratch(self.folder, _PARTIAL) as place:
                made = place / "figure"
                made.write_text(json.dumps({"value": value, "sha256": digest(value)}), "utf-8")
                made.replace(self._path(name))
        except OSError as error:
            self._progress.note(f"{name} is not kept for the next run: {self.folder}: {error.strerror}.")

    def _path(self, name: str) -> Path:
        return self.folder / (hashlib.sha256(name.encode()).hexdigest()[:24] + ".json")

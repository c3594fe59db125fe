"""Digests of the input files, made in a thread while the conversion reads the same pages."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from .digest import sha256_file
from .manifest import FileDigest
from .progress import Progress


class InputDigests:
    """Hashes files in the background; `result` waits for the end and gives the digests by name."""

    def __init__(self, folder: Path, names: list[str], known: Mapping[str, str], progress: Progress) -> None:
        """Begin. `known` holds digests that a verified download has established already, by name."""
        self._folder = folder
        self._names = names
        self._known = known
        self._task = progress.task(
            "Hashing the source", sum((folder / n).stat().st_size for n in names if n not in known)
        )
        self._digests: dict[str, FileDigest] = {}
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for name in self._names:
                path = self._folder / name
                digest = self._known.get(name) or sha256_file(path, self._task)
                self._digests[name] = FileDigest(size=path.stat().st_size, sha256=digest)
        except Exception as error:  # noqa: BLE001 - `result` raises it, in the thread that can tell somebody
            self._error = error
        finally:
            self._task.finish()

    def result(self) -> dict[str, FileDigest]:
        """Wait and return name → digest. Raises what went wrong: OSError if a file could not be read."""
        self._thread.join()
        if self._error:
            raise self._error
        return self._digests

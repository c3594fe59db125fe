"""Digests of the input files, made in a thread while the conversion reads the same pages."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from .manifest import FileDigest
from .progress import Progress
from .unchanged import Unchanged


class InputDigests:
    """Hashes files in the background; `result` waits for the end and gives the digests by name."""

    def __init__(
        self,
        folder: Path,
        names: list[str],
        known: Mapping[str, str],
        progress: Progress,
        unchanged: Unchanged | None = None,
    ) -> None:
        """Begin.

        Args:
            folder: of the files.
            names: in it.
            known: digests that a verified download has established already, by name.
            progress: reports the bytes.
            unchanged: the files as they were before anything of them was read.
        """
        self._folder = folder
        self._unchanged = unchanged or Unchanged()
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
                known = self._known.get(name)
                self._unchanged.add(path)
                size, digest = (path.stat().st_size, known) if known else self._unchanged.sha256(path, self._task)
                self._digests[name] = FileDigest(size=size, sha256=digest)
        except Exception as error:  # noqa: BLE001 - `result` raises it, in the thread that can tell somebody
            self._error = error
        finally:
            self._task.finish()

    def result(self) -> dict[str, FileDigest]:
        """Wait and return name → digest, of files that are to this moment what they were.

        Raises:
            CheckpointError: a file has changed since it was first looked at.
            OSError: a file could not be read.
        """
        self._thread.join()
        if self._error:
            raise self._error
        self._unchanged.require([self._folder / name for name in self._names])
        return self._digests

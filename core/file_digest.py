"""The SHA-256 of large files, remembered from one run to the next."""

from __future__ import annotations

from pathlib import Path

from .cache_folder import cache_folder, open_part, part
from .kept import PARTIAL, digest, read, write
from .progress import Progress
from .scratch import sweep
from .unchanged import Unchanged, stamp

_DIGESTS = "digests"


def file_digest(path: Path, progress: Progress) -> str:
    """SHA-256 of a large file, remembered by size, inode and times; the time of its last change cannot be set back.

    Raises:
        CheckpointError: the file is written or replaced while it is read.
        OSError: it cannot be read.
    """
    inode, length, written, changed = stamp(path.stat())
    name = digest([str(path.resolve()), length, written, changed, inode])
    known = read(part(_DIGESTS) / f"{name}.json", progress)
    if isinstance(known, str):
        return known
    task = progress.task(f"Hashing {path.name}", length)
    _, made = Unchanged([path]).sha256(path, task)
    task.finish()
    try:
        root = open_part(_DIGESTS)
        sweep(root, PARTIAL)
        write(root / f"{name}.json", made)
    except OSError as error:
        progress.note(f"The digest of {path.name} is not kept for the next run: {cache_folder()}: {error.strerror}.")
    return made

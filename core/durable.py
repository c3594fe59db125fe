"""Have the disk hold what was written, where the file system can promise it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .progress import Progress

_CANNOT = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
"""What file systems (FUSE, CIFS, 9p) answer that know no fsync: the file is written all the same."""


def sync(path: Path) -> bool:
    """Have the disk hold a file, or the names in a folder; False if the file system cannot promise that.

    Raises:
        OSError: the disk has an error; it carries the path.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return sync_open(descriptor, path)
    finally:
        os.close(descriptor)


def sync_open(descriptor: int, path: Path) -> bool:
    """The same for an open file; `path` is for messages."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise OSError(error.errno, error.strerror, str(path)) from error
    return True


def sync_all(folder: Path, progress: Progress | None = None) -> None:
    """Have the disk hold every file of a folder, and their names; say once where the file system cannot promise it.

    Raises:
        OSError: as `sync`.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    promised = [sync(path) for path in [*paths, folder]]
    if progress and not all(promised):
        progress.note(f"The file system of {folder.parent} does not say when files are on the disk (no fsync).")

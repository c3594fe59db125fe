"""Folders for what is not finished: each is held by a lock that ends with its process, so that the next run knows the dead.

A process id alone would not do: after a kill -9 it may be another's, and in containers that share a disk it means nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .lifetime import undisturbed

PID = ".pid"
"""File in a folder that is held: the process's number, for people, and for file systems that cannot lock."""
_RESERVE = 4 << 20
"""Bytes that are given back before a folder is removed, which takes memory: perhaps there is none left."""


@contextmanager
def scratch(parent: Path, prefix: str, dead: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give an empty folder, and remove it in the end if it is still there; those of dead processes go first.

    Args:
        parent: where it is made; must exist.
        prefix: that its name begins with. Nothing else there may have it.
        dead: is given each folder that a dead process left, before that is removed.

    Raises:
        OSError: it cannot be made.
    """
    sweep(parent, prefix, dead)
    folder, lock = _hold(parent, prefix)
    reserve = bytearray(_RESERVE)
    try:
        yield folder
    finally:
        with undisturbed():
            del reserve
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def sweep(parent: Path, prefix: str, dead: Callable[[Path], None] | None = None) -> list[Path]:
    """Remove the folders of dead processes, as `scratch` does; return those of living ones. `parent` need not exist."""
    living = []
    for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
        if not folder.name.startswith(prefix) or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # it has just gone, or is another user's
        try:
            if _is_held(folder, lock):
                living.append(folder)
                continue
            with undisturbed():
                if dead:
                    dead(folder)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
    return living


def _hold(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder and lock it; one that another run sweeps away in between is made again."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = -1
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # then PID has to do
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / PID).write_text(str(os.getpid()))
        except FileNotFoundError:
            if lock >= 0:
                os.close(lock)
            continue
        except BaseException:
            if lock >= 0:
                os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder, lock


def _is_held(folder: Path, lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.EWOULDBLOCK or _is_alive(folder / PID)
    return False


def _is_alive(pid: Path) -> bool:
    try:
        os.kill(int(pid.read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True

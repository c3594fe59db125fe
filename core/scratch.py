"""Folders for what is not finished: each has a marker of ours and is held by a lock that ends with its process.

Only a folder with such a marker is ever removed, whatever it is called; of those that a dead process left, the next run removes
what they hold. A lock that everybody is granted, as some network file systems do, is no proof of death: the marker is asked too.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import lease
from .lease import MARKER
from .lifetime import undisturbed

JOURNAL = ".edgeconv-journal"
"""File in a scratch folder that has something of the user's in it: it is not removed before that is back in its place."""
_RESERVE = 4 << 20
"""Bytes that are given back before a folder is removed, which takes memory: perhaps there is none left."""
_IDENTITY = re.compile(r"([0-9a-f]{10})([0-9a-f]{6})$")


@contextmanager
def scratch(parent: Path, prefix: str, dead: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give a folder with nothing but a marker in it, and remove it in the end; those of dead processes go first.

    Args:
        parent: where it is made; must exist.
        prefix: that its name begins with.
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
            lease.drop(folder)
            _remove(folder)
            os.close(lock)


def sweep(parent: Path, prefix: str, dead: Callable[[Path], None] | None = None) -> list[Path]:
    """Remove the folders of dead processes, as `scratch` does; return those of living ones. `parent` need not exist."""
    living = []
    for folder in left_behind(parent, prefix):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # it has just gone, or is another user's
        try:
            if _is_held(folder, lock):
                living.append(folder)
                continue
            with undisturbed():
                if dead and lease.read(folder):
                    dead(folder)
                _remove(folder)
        finally:
            os.close(lock)
    return living


def left_behind(parent: Path, prefix: str) -> list[Path]:
    """List the scratch folders with a prefix, of the living and of the dead; a folder that is only called so is none."""
    if not parent.is_dir():
        return []
    named = (path for path in parent.iterdir() if path.name.startswith(prefix))
    return sorted(path for path in named if not path.is_symlink() and path.is_dir() and _is_ours(path))


def holder(folder: Path) -> str:
    """Say who holds a scratch folder, for people."""
    found = lease.read(folder)
    return found.who if found else "another process"


def _is_ours(folder: Path) -> bool:
    """Whether a marker says so, or the folder was made a moment ago, by a process that died before it had marked it."""
    return lease.read(folder) is not None or _is_new(folder)


def _is_new(folder: Path) -> bool:
    """Whether nothing is in it yet but what can be of a marker, and its name is one that only we give."""
    found = _IDENTITY.search(folder.name)
    if found is None or found[2] != _check(found[1]):
        return False
    try:
        return {path.name for path in folder.iterdir()} <= {MARKER}
    except OSError:
        return False


def _check(random: str) -> str:
    """Return the digits behind a name's random ones, by which the name alone can be told from one that a person gave."""
    return hashlib.sha256(f"edgeconv {random}".encode()).hexdigest()[:6]


def _remove(folder: Path) -> None:
    """Remove a folder of ours, the marker last: what a kill leaves of it must still be known as ours."""
    if (folder / JOURNAL).exists():
        return
    with suppress(OSError):  # it has been renamed, or the disk cannot be written to: the next run tries again
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != MARKER:
                path.unlink()
        (folder / MARKER).unlink(missing_ok=True)
        folder.rmdir()


def _hold(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder and lock it; one that another run sweeps away in between is made again."""
    while True:
        random = secrets.token_hex(5)
        identity = random + _check(random)
        folder = parent / f"{prefix}{identity}"
        lock = -1
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            continue
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # then the marker has to do
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lease.write(folder, identity)
        except FileNotFoundError:
            if lock >= 0:
                os.close(lock)
            continue
        except BaseException:
            lease.drop(folder)
            _remove(folder)
            if lock >= 0:
                os.close(lock)
            raise
        return folder, lock


def _is_held(folder: Path, lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return True
    found = lease.read(folder)
    return found is not None and lease.is_alive(folder, found)

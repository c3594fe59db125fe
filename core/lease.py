"""Who holds a folder: a file in it that says so, kept fresh while its process lives.

A lock that the file system keeps ends with its process, but not every file system keeps one: some grant it to everybody. And a
process number alone says nothing after a kill -9, or on another machine that shares the disk.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MARKER = ".edgeconv-scratch"
"""File in a folder of ours. What lies in a folder without one is somebody else's."""
_MAGIC = "edgeconv-scratch-1"
_LARGEST = 1 << 12
"""Bytes of a marker, and more than it needs."""
RENEWED = 5.0
"""Seconds between two signs of life."""
SILENT = 60.0
"""Seconds without one, after which a process that cannot be asked counts as dead."""
_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
_held: dict[Path, int] = {}
"""Markers of this process's folders, and the process that put them here: a forked one inherits the table, not the folders."""
_guard = threading.Lock()
_thread: threading.Thread | None = None


@dataclass(frozen=True)
class Lease:
    """What a marker says.

    Attributes:
        id: that the folder's name ends in: a folder that somebody renamed or copied is theirs.
        pid, started: the process's number, and when it began in ticks since the machine's start: the two name one process.
        host, boot: the machine, and which of its starts, with the name space that process numbers are of.
    """

    id: str
    pid: int
    started: int
    host: str
    boot: str
    magic: str = _MAGIC

    @property
    def who(self) -> str:
        """For people."""
        return f"process {self.pid} on {self.host}"


def write(folder: Path, identity: str) -> None:
    """Mark a folder as this process's, and keep the mark fresh until `drop`. Raises OSError."""
    marker = folder / MARKER
    pid = os.getpid()
    lease = Lease(identity, pid, _started(pid) or 0, socket.gethostname(), _boot())
    marker.write_text(json.dumps(asdict(lease)) + "\n", "utf-8")
    with _guard:
        _held[marker] = pid
    _keep_fresh()


def drop(folder: Path) -> None:
    """Keep it fresh no longer; the marker stays."""
    with _guard:
        _held.pop(folder / MARKER, None)


def read(folder: Path) -> Lease | None:
    """Return what the marker of a folder says; None if it has none of ours, or is not the folder that it was written for."""
    try:
        with (folder / MARKER).open("rb") as file:
            said: Any = json.loads(file.read(_LARGEST))
        lease = Lease(**said)
    except (OSError, ValueError, TypeError):  # absent, cut short, or not of this form
        return None
    typed = all(isinstance(value, str) for value in (lease.id, lease.host, lease.boot)) and type(lease.pid) is int
    return lease if typed and lease.magic == _MAGIC and lease.id and folder.name.endswith(lease.id) else None


def is_alive(folder: Path, lease: Lease) -> bool:
    """Whether whoever wrote it still works there, as far as the marker can tell; whether it is locked says more."""
    if (lease.host, lease.boot) == (socket.gethostname(), _boot()):
        if lease.pid == os.getpid():
            with _guard:
                return any(held.parent.name == folder.name and pid == lease.pid for held, pid in _held.items())
        return _started(lease.pid) == lease.started
    return _age(folder / MARKER) < SILENT


def _age(marker: Path) -> float:
    """Return the seconds since a sign of life, by the clock of the file system: two machines' clocks may differ."""
    try:
        with tempfile.TemporaryFile(dir=marker.parent.parent) as probe:
            now = os.fstat(probe.fileno()).st_mtime
    except OSError:
        now = time.time()
    try:
        return now - marker.stat().st_mtime
    except OSError:
        return SILENT  # it has just gone


def _boot() -> str:
    try:
        return f"{_BOOT.read_text().strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """Return when a process began, in ticks since the machine's start; 0 if that cannot be told; None if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except PermissionError:
        return 0
    except (OSError, OverflowError):
        return None
    return 0


def _keep_fresh() -> None:
    global _thread  # noqa: PLW0603 - one for the process; a fork leaves it behind
    with _guard:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_renew, name="edgeconv-lease", daemon=True)
            _thread.start()


def _renew() -> None:
    while True:
        time.sleep(RENEWED)
        with _guard:
            own = [marker for marker, pid in _held.items() if pid == os.getpid()]
        for marker in own:
            with suppress(OSError):  # it is being removed, or the disk has a bad moment: the next sign counts too
                os.utime(marker)

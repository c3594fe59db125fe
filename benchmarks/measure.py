"""Run a command to its end and measure the whole tree of its processes: wall, CPU, memory by kind, bytes read and written."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_INTERVAL = 0.02
_PF_FORKNOEXEC = 0x40
"""Of the kernel's include/linux/sched.h."""


@dataclass(frozen=True)
class Measured:
    """What one run cost.

    `anonymous` is memory that no file backs; `rss` also counts mapped files, which the kernel can drop at any time.
    Both are peaks of the sum over all processes, in bytes, sampled every 20 ms. CPU seconds are user plus system. `read` is what
    came from the disk, in bytes: nothing of what the page cache held.
    """

    wall: float
    cpu: float
    anonymous: int
    rss: int
    written: int
    read: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def measure(command: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Measured:
    """Run `command`; its output goes to `log`.

    Raises:
        subprocess.CalledProcessError: it failed; the log says why.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=cwd
        )
        sampler = _Sampler(process.pid)
        code = process.wait()
        wall = time.perf_counter() - started
        sampler.stop()
    if code:
        raise subprocess.CalledProcessError(code, command, log.read_text(errors="replace")[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(wall, cpu, sampler.anonymous, sampler.rss, sampler.written, sampler.read)


class _Sampler(threading.Thread):
    """Samples a process tree until it is told to stop."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._ended = threading.Event()
        self._written: dict[int, int] = {}
        self._read: dict[int, int] = {}
        self.anonymous = self.rss = 0
        self.start()

    @property
    def written(self) -> int:
        return sum(self._written.values())

    @property
    def read(self) -> int:
        return sum(self._read.values())

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(_INTERVAL):
            anonymous = rss = 0
            for pid in _tree(self._root):
                status = {} if _only_forked(pid) else _fields(pid, "status")
                anonymous += status.get("RssAnon", 0) * 1024
                rss += status.get("VmRSS", 0) * 1024
                moved = _fields(pid, "io")
                self._written[pid] = max(self._written.get(pid, 0), moved.get("write_bytes", 0))
                self._read[pid] = max(self._read.get(pid, 0), moved.get("read_bytes", 0))
            self.anonymous = max(self.anonymous, anonymous)
            self.rss = max(self.rss, rss)


def _tree(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has just ended
    return found


def _only_forked(pid: int) -> bool:
    """True of a child that has not called exec: its memory is its parent's until it writes to it, and is counted there."""
    try:
        flags = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6])
    except OSError:
        return False  # it has just ended
    return bool(flags & _PF_FORKNOEXEC)


def _fields(pid: int, name: str) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return {}  # it has just ended
    pairs = (line.split(":") for line in lines if ":" in line)
    return {key: int(value.split()[0]) for key, value in pairs if value.split() and value.split()[0].isdigit()}

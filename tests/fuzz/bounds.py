"""What an execution may use, and what it may touch: seconds of CPU, memory, files of its own folder, nothing else."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from edgeconv.core import worker

CPU_SECONDS = 10.0
"""Of one execution; the slowest that is known takes a fiftieth of it."""
MEMORY = 768 << 20
"""Bytes of new memory; beyond it comes a MemoryError, which is no answer."""
STUCK = 120
"""Seconds after which a hang inside C, which no signal handler ends, is shown and ends the process."""


class Broken(BaseException):
    """A bound was broken. A BaseException, so that no `except Exception` hides it."""


_allowed: list[Path] | None = None
_ROOTS = tuple(
    {str(Path(path)) for path in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())}
    | {path for path in sys.path if path.endswith("site-packages")}
    | {str(Path(__file__).parents[2]), "/proc", "/dev", "/usr", "/lib", "/etc/ld.so", "/sys"}
)
"""Where modules, time zones and the like are loaded from."""
_FORBIDDEN = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _allowed is None:
        return
    if event == "subprocess.Popen" and list(arguments[1][1:3]) == ["-I", "-S"] and arguments[1][3] == _WORKER:
        return  # the process that templates are rendered in
    if event in _FORBIDDEN:
        raise Broken(f"{event}{arguments!r:.200}")
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith(_ROOTS) and not any(path.startswith(str(folder)) for folder in _allowed):
            raise Broken(f"opened {path!r}")


_WORKER = str(Path(worker.__file__).with_name("worker_child.py"))
_installed = False


@contextmanager
def bounded(*folders: Path) -> Iterator[None]:
    """Hold the body to the bounds; files may be opened in `folders` only."""
    global _allowed, _installed  # noqa: PLW0603 - an audit hook cannot be taken away again
    if not _installed:
        sys.addaudithook(_audit)
        _installed = True

    def stop(number: int, frame: FrameType | None) -> None:
        raise Broken(f"more than {CPU_SECONDS:.0f} s of CPU")

    handler = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    _allowed = [Path(os.path.realpath(folder)) for folder in folders]
    try:
        yield
    finally:
        _allowed = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)


@contextmanager
def little_memory() -> Iterator[None]:
    """Let the body have so much more memory than the process has now, and end the process if it is stuck for good."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status").read_text().splitlines()
    used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Show all stacks and end the process if the body takes longer."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()

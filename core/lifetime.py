"""When a run may end: not between two steps that belong together, and not before the processes that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_PDEATHSIG = 1
"""PR_SET_PDEATHSIG of Linux's <linux/prctl.h>."""


def end_with(parent: int) -> None:
    """Have this process killed when its parent dies, however it dies; where the system cannot (not Linux), do nothing.

    Args:
        parent: its process id. If it is dead already, this process ends at once.
    """
    try:
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let the body end although somebody presses Ctrl-C or sends SIGTERM or SIGHUP; the signal has its effect afterwards.

    Only for moments: moving finished files, removing others. Signals interrupt the main thread alone; elsewhere it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, keep)
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)
        for waiting in dict.fromkeys(arrived):
            signal.raise_signal(waiting)  # to this thread, now: one sent to the process may arrive at any moment

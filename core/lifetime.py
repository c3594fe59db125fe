"""When a run may end: not between two steps that belong together, and not before the processes that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from . import watchdog

_PDEATHSIG = 1
"""PR_SET_PDEATHSIG of Linux's <linux/prctl.h>."""
_ONSTACK = 0x08000000
"""SA_ONSTACK of Linux's <asm-generic/signal-defs.h>."""

_OWN = "handler"
"""Attribute of what `handle` sets: the handler that it was given."""
Handler = Callable[[int, FrameType | None], object]
_left: list[threading.Thread] = []


class Action(ctypes.Structure):
    """`struct sigaction` of Linux's C libraries."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_byte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def handle(number: int, handler: Handler) -> None:
    """`signal.signal` for a handler that runs on the thread's own stack.

    Python's handlers take the alternate stack if the thread has one. On processors with AMX each `openvino.Core` gives it one,
    and Cores that end in the order of their making (NNCF's, those of two pipelines of openvino_genai) leave one that is no
    longer mapped: the next Ctrl-C would end the process with a segmentation fault. The watchdog hears that the handler runs.
    """
    own = getattr(handler, _OWN, handler)

    def told(received: int, frame: FrameType | None) -> object:
        watchdog.heard()
        return own(received, frame)

    setattr(told, _OWN, own)
    signal.signal(number, told)
    if not sys.platform.startswith("linux"):
        return
    library, action = ctypes.CDLL(None), Action()
    if library.sigaction(number, None, ctypes.byref(action)) == 0:
        action.flags &= ~_ONSTACK
        library.sigaction(number, ctypes.byref(action), None)


def leave_behind(thread: threading.Thread) -> None:
    """Note a thread that a library does not give back: the process cannot end in the usual way (`hurried`)."""
    _left.append(thread)


def hurried() -> bool:
    """Whether a thread that was left behind still runs, in code that must not be torn down under it."""
    return any(thread.is_alive() for thread in _left)


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
                handle(number, keep)
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                handle(number, handler)
        for waiting in dict.fromkeys(arrived):
            signal.raise_signal(waiting)  # to this thread, now: one sent to the process may arrive at any moment

"""Ctrl-C ends the program within seconds although a library does not return from C code.

Python's handlers run between two steps of Python; a call that never returns keeps them waiting, and may hold the
interpreter's lock, so that no thread of Python runs either. What does run at once is Python's own C handler, which
writes the signal's number into a pipe (`signal.set_wakeup_fd`). A small process, forked before anything is loaded,
reads it. If no handler has said in time that it runs (`heard`), or the program said that it ends and does not
(`ending`), it is killed, as by `kill -9`: what it leaves behind, the next run removes.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

DEAF = 1.5
"""Seconds that a handler has to run; Python runs it at once unless a library holds the thread."""
CLEANING = 60
"""Seconds from a SIGTERM that was heard to the end, and for the end of the interpreter after Ctrl-C: folders of many gigabytes
are removed in this time."""
_HEARD = 0xFF
_END_IN = 0x80
"""Plus a number of seconds."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MESSAGE = "error: A library did not return, so the program was ended. The next run removes what it left.\n"
_state: dict[str, int] = {}


def start() -> None:
    """Start the process that watches this one; where the system has no room for it, do without.

    To be called once, by the main thread, before there are others.
    """
    try:
        reading, writing = os.pipe()
    except OSError:
        return
    os.set_blocking(writing, False)
    owner = os.getpid()
    try:
        child = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        return
    if not child:
        try:
            os.close(writing)
            _alone(reading)
            _watch(reading, owner)
        finally:
            os._exit(0)
    os.close(reading)
    _state["pipe"] = writing
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_leave)


def heard() -> None:
    """Say that a signal's handler runs; handlers say it themselves (`lifetime.handle`)."""
    _tell(_HEARD)


def ending(seconds: int) -> None:
    """Say that the program is to end within so many seconds (126 at most), or be ended."""
    _tell(_END_IN + seconds)


def _tell(word: int) -> None:
    if "pipe" in _state:
        try:
            os.write(_state["pipe"], bytes([word]))
        except OSError:  # nobody watches any more
            _leave()


def _leave() -> None:
    """A forked process gets signals of its own, which say nothing of its parent."""
    writing = _state.pop("pipe", None)
    if writing is not None:
        signal.set_wakeup_fd(-1)
        os.close(writing)


def _alone(reading: int) -> None:
    """Hear no signal of the terminal, and hold none of the streams that somebody may read to their end."""
    for number in (*_ENDING, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    os.closerange(3, reading)
    os.closerange(reading + 1, 256)


def _watch(reading: int, owner: int) -> None:
    """Wait for the program's end (the pipe's), and for signals that it does not hear."""
    end: float | None = None
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([reading], [], [], left)[0]:
            if os.getppid() == owner:
                sys.stderr.write(_MESSAGE)
                sys.stderr.flush()
                os.kill(owner, signal.SIGKILL)
            return
        got = os.read(reading, 256)
        if not got:
            return
        for word in got:
            if word == _HEARD:
                end = None
            elif word > _END_IN:
                end = time.monotonic() + word - _END_IN
            elif word in _ENDING and end is None:
                end = time.monotonic() + DEAF

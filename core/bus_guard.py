"""A mapped file that is cut short while it is read: an error with its name, where the system would end the process.

The system answers a read behind the new end of a file with SIGBUS. The handler here puts empty pages in the place of those that
are gone, so that the reading goes on, and notes the file; whoever asks for its next tensor, or for its digest, is refused.
Other bus errors end the process as before.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .lifetime import Action
from .unchanged import changed

_WITH_ADDRESS = 0x4
"""SA_SIGINFO of Linux's <asm-generic/signal-defs.h>."""
_ADDRESS = 16
"""Offset of si_addr in siginfo_t, where pointers have 64 bits."""
_PROT_READ, _PRIVATE, _FIXED, _ANONYMOUS = 1, 2, 0x10, 0x20
"""Of Linux's <sys/mman.h>."""
_watched: dict[int, tuple[int, Path]] = {}
_lost: set[Path] = set()
_installed: list[Any] = []
"""Our handler and what was there before; both must outlive every signal."""


def watch(mapped: mmap.mmap, path: Path) -> None:
    """Note a mapped file until it is unmapped; where the system is not Linux, do nothing."""
    if not sys.platform.startswith("linux") or not len(mapped):
        return
    if not _installed:
        _install()
    start = int(np.frombuffer(mapped, np.uint8, 1).ctypes.data)
    _watched[start] = (start + -(-len(mapped) // mmap.PAGESIZE) * mmap.PAGESIZE, path)
    weakref.finalize(mapped, _watched.pop, start, None)


def require_whole(path: Path) -> None:
    """Refuse a file of which a part was gone when it was read. Raises CheckpointError."""
    if path in _lost:
        raise changed(path)


def _install() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 4]
    before, own = Action(), Action()

    def answer(_: int, info: int, __: int) -> None:
        at = ctypes.c_void_p.from_address(info + _ADDRESS).value or 0
        for start, (end, path) in list(_watched.items()):
            if start <= at < end:
                page = at // mmap.PAGESIZE * mmap.PAGESIZE
                _lost.add(path)
                libc.mmap(page, end - page, _PROT_READ, _PRIVATE | _FIXED | _ANONYMOUS, -1, 0)
                return
        libc.sigaction(signal.SIGBUS, ctypes.byref(before), None)  # the same read once more, and what was usual follows

    handler: Callable[..., Any] = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(answer)
    own.handler = ctypes.cast(handler, ctypes.c_void_p)  # type: ignore[arg-type]
    own.flags = _WITH_ADDRESS
    if libc.sigaction(signal.SIGBUS, ctypes.byref(own), ctypes.byref(before)) == 0:
        _installed.extend((handler, before, libc))

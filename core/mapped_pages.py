"""Give memory back: the heap's that is free, and that in which the pages of mapped files lie.

Such pages are in the kernel's cache, and come back when they are read.

A library that maps a file gives no handle by which its pages could be dropped, and a validation maps the checkpoint and the
artifact whole, one after the other. Only Linux has the list of mappings that this needs; elsewhere nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_MAPS = Path("/proc/self/maps")
Mapping = tuple[int, int]
"""Its first address, and that behind its last byte."""
_EVERY = 0.05
"""Seconds between two releases: what is read in that time is some 50 MB."""


def release_pages(files: Iterable[Path]) -> int:
    """Drop the resident pages of this process's mappings of some files, however they were mapped.

    Mappings that can be written to are left alone: a changed page has no other place.

    Args:
        files: links are followed.

    Returns:
        The bytes of the mappings that were released.
    """
    return _release(mappings(files))


@contextlib.contextmanager
def releasing(found: Sequence[Mapping], every: float = _EVERY) -> Iterator[None]:
    """Release pages again and again in a block that reads files through once, as a runtime does that copies all weights.

    Args:
        found: what `mappings` returned. The caller keeps them to the end of the block: a mapping that is gone may have made
            room for memory that something else has written, and that would be lost.
        every: seconds between two releases.
    """
    ended = threading.Event()

    def again() -> None:
        while not ended.wait(every):
            _release(found)

    thread = threading.Thread(target=again, name="release pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def mappings(files: Iterable[Path]) -> list[Mapping]:
    """Return this process's mappings of some files that cannot be written to; none where the system has no list of them."""
    if not _MAPS.exists():
        return []
    wanted = {os.fsencode(path.resolve()) for path in files}
    found = []
    for line in _MAPS.read_bytes().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] in wanted and b"w" not in fields[1]:
            start, end = (int(address, 16) for address in fields[0].split(b"-"))
            found.append((start, end))
    return found


def _release(found: Sequence[Mapping]) -> int:
    """Drop the resident pages of mappings; return the bytes of those that the kernel took."""
    if not found:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    dropped = [end - start for start, end in found if libc.madvise(start, end - start, mmap.MADV_DONTNEED) == 0]
    return sum(dropped)


def trim_heap() -> None:
    """Give memory that was freed back to the kernel, also from between what is still in use (glibc; elsewhere nothing is done).

    Tensors below glibc's threshold for mmap lie on the heap, where one small block on top keeps hundreds of MB below it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _MAPS.exists() else None
    if trim is not None:
        trim(0)

"""Give memory back: the heap's that is free, and that in which the pages of mapped files lie.

Such pages are in the kernel's cache, and come back when they are read.

A library that maps a file gives no handle by which its pages could be dropped, and a validation maps the checkpoint and the
artifact whole, one after the other. Only Linux has the list of mappings that this needs; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def release_pages(files: Iterable[Path]) -> int:
    """Drop the resident pages of this process's mappings of some files, however they were mapped.

    Mappings that can be written to are left alone: a changed page has no other place.

    Args:
        files: links are followed.

    Returns:
        The bytes of the mappings that were released.
    """
    if not _MAPS.exists():
        return 0
    wanted = {os.fsencode(path.resolve()) for path in files}
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    released = 0
    for line in _MAPS.read_bytes().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or fields[5] not in wanted or b"w" in fields[1]:
            continue
        start, end = (int(address, 16) for address in fields[0].split(b"-"))
        if libc.madvise(start, end - start, mmap.MADV_DONTNEED) == 0:
            released += end - start
    return released


def trim_heap() -> None:
    """Give memory that was freed back to the kernel, also from between what is still in use (glibc; elsewhere nothing is done).

    Tensors below glibc's threshold for mmap lie on the heap, where one small block on top keeps hundreds of MB below it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _MAPS.exists() else None
    if trim is not None:
        trim(0)

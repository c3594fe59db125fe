"""The physical floor of a conversion: its bytes read and written at this disk's speed."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

from .result import Figure, Result
from .setting import Setting

READING, WRITING = "reading", "writing, with fsync"
SIZE = 1 << 30
_BLOCK = 1 << 22


def disk(setting: Setting, name: str) -> Result:
    """Measure `pairs` times."""
    runs = [speeds(setting.work) for _ in range(setting.pairs)]
    figures = [
        Figure(label, "GB/s", [run[at] for run in runs], more_is_better=True)
        for at, label in enumerate((READING, WRITING))
    ]
    return Result(name, "the disk, past the page cache", f"python -m benchmarks {name}", "", figures)


def speeds(folder: Path) -> tuple[float, float]:
    """Write a file of 1 GiB to the disk of `folder`, read it past the page cache, and remove it.

    Returns:
        GB a second of reading and of writing (with fsync).
    """
    path = folder / "disk-speed"
    block = mmap.mmap(-1, _BLOCK)  # aligned to a page, as O_DIRECT wants it
    block.write(os.urandom(_BLOCK))
    started = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(SIZE // _BLOCK):
            file.write(block)
        os.fsync(file.fileno())
    written = time.perf_counter() - started
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECT", 0))
    try:
        started = time.perf_counter()
        while os.readv(handle, [block]):
            pass
        read = time.perf_counter() - started
    finally:
        os.close(handle)
        path.unlink()
    return SIZE / read / 1e9, SIZE / written / 1e9

"""SHA-256 of files, read once and in order."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .progress import Task

_BLOCK = 1 << 22


def sha256_file(path: Path, task: Task | None = None) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    block = bytearray(_BLOCK)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(memoryview(block)[:count])
            if task:
                task.advance(count)
    return digest.hexdigest()

"""What the worker does with regular expressions. Loaded by `worker_child` alone."""

from __future__ import annotations

import re


def search(patterns: list[str], names: list[str], ignore_case: bool) -> list[list[int]]:
    """Return for each expression the indexes of the names that it is found in."""
    flags = re.IGNORECASE if ignore_case else re.NOFLAG
    compiled = [re.compile(pattern, flags) for pattern in patterns]
    return [[at for at, name in enumerate(names) if pattern.search(name)] for pattern in compiled]

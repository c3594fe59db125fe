"""Work on threads whose results are taken in order, a few at a time, so that memory does not depend on how much work there is."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def workers() -> int:
    """Threads worth starting: the cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def in_order(jobs: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
    """Run (function, *arguments) on threads, a few at a time; give the results in the jobs' order."""
    window: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers()) as pool:
        try:
            for function, *arguments in jobs:
                window.append(pool.submit(function, *arguments))
                if len(window) > 2 * workers():
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

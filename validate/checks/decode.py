"""Check 4: the artifact as it is used gives the logits of one prefill: token by token, in a batch, deep in its cache.

A prefill of one text never reads what it has cached, needs no mask and counts its positions from 0, so it hides a cache that is
written wrongly, a window or a position that is wrong only once the cache is not empty, and a batch whose rows are mixed up.
Approximations are off. What is compared with what:

cached    the artifact one token at a time, with its own prefill
batch     two texts of different lengths in one batch, padded left and right, each with its own single run (`batched`)
beams     rows of the cache that change places, each with its own single run (`batched`)
deep      single steps between the chunks of the long probe, with torch on the artifact's own weights (`deep`)
far       a short text at the end of the model's positions, with torch likewise (`deep`)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.progress import Progress
from ...runtimes.base import Runtime
from ..report.model import Check

TOKENS = 96
"""Of each text that is decoded token by token."""
LIMIT = 1e-3
"""max |Δlogit|; an untouched artifact measures 1e-5. The runtime's own deviation is in `budget.GRAPHS`."""


@dataclass(frozen=True)
class Part:
    """One of the comparisons.

    Attributes:
        name: of its figure; empty for the first, whose figure has none before it.
        says: what is compared, as "cached decoding".
        worst: max |Δlogit|; NaN where a logit is none.
        where: the place of the worst.
        compared: positions.
        limit: on `worst`.
    """

    name: str
    says: str
    worst: float
    where: str
    compared: int
    limit: float

    @property
    def failure(self) -> str | None:
        """What is wrong, or None."""
        if self.compared == 0:
            return f"{self.says}: no token was compared"
        if self.worst <= self.limit:
            return None
        return f"{self.says} differs by {self.worst:.3g} at {self.where}; the limit is {self.limit:g}"


class Worst:
    """Collects differences: the largest, and where it was; a NaN counts as the largest."""

    def __init__(self) -> None:
        self.value, self.where, self.compared = 0.0, "", 0

    def add(self, difference: float, where: str) -> None:
        """Take the max |Δlogit| of one position."""
        self.compared += 1
        if not np.isnan(self.value) and not difference <= self.value:
            self.value, self.where = difference, where

    def part(self, name: str, says: str, limit: float) -> Part:
        """Return what was collected."""
        return Part(name, says, self.value, self.where, self.compared, limit)


def check(
    runtime: Runtime, documents: Sequence[Sequence[int]], progress: Progress, tokens: int = TOKENS, limit: float = LIMIT
) -> Check:
    """Compare cached decoding with the prefill, and nothing else."""
    started = time.perf_counter()
    return as_check([cached(runtime, documents, progress, tokens, limit)], time.perf_counter() - started)


def cached(
    runtime: Runtime, documents: Sequence[Sequence[int]], progress: Progress, tokens: int = TOKENS, limit: float = LIMIT
) -> Part:
    """Compare the first `tokens` positions of each document, one token at a time."""
    task = progress.task("Decoding through the cache", sum(min(tokens, len(ids)) for ids in documents))
    worst = Worst()
    for d, whole in enumerate(documents):
        ids = list(whole[:tokens])
        expected = np.concatenate(list(runtime.logits(ids)))
        for position, made in enumerate(runtime.decode(ids)):
            worst.add(float(np.abs(made[0] - expected[position]).max()), f"position {position} of document {d + 1}")
            task.advance(1)
            if np.isnan(worst.value):
                break
    task.finish()
    return worst.part("", "cached decoding", limit)


def as_check(parts: Sequence[Part], seconds: float) -> Check:
    """Sum up."""
    failures = [part.failure for part in parts if part.failure]
    said = "; ".join(f"{part.says} {part.worst:.2g}" for part in parts)
    compared = sum(part.compared for part in parts)
    return Check(
        name="decode",
        status="failed" if failures or not parts else "passed",
        summary=f"max |Δlogit| over {compared} positions: {said}",
        failures=failures,
        figures={f"{part.name}_max_abs_logit".lstrip("_"): part.worst for part in parts}
        | {"positions": float(compared)},
        seconds=seconds,
    )

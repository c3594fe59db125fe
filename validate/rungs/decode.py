"""Rung 4: decoding token by token through the cache gives the logits of the prefill.

A prefill never reads what it has cached, so it hides a cache that is written wrongly, and positions that are wrong only once
the cache is not empty. Both sides are the artefact itself, approximations off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ...core.progress import Progress
from ..report.model import Rung
from ..runtimes.base import Runtime

LIMIT = 1e-3
"""max |Δlogit|; an untouched artefact measures 1e-5."""


def check(runtime: Runtime, documents: Sequence[Sequence[int]], progress: Progress, tokens: int = 96) -> Rung:
    """Compare the first `tokens` positions of each document."""
    started = time.perf_counter()
    task = progress.task("Decoding through the cache", sum(min(tokens, len(ids)) for ids in documents))
    worst, where, compared = 0.0, "", 0
    for d, whole in enumerate(documents):
        ids = list(whole[:tokens])
        expected = np.concatenate(list(runtime.logits(ids)))
        for position, made in enumerate(runtime.decode(ids)):
            difference = float(np.abs(made[0] - expected[position]).max())
            compared += 1
            task.advance(1)
            if not difference <= worst:  # a NaN counts as worst
                worst, where = difference, f"position {position} of document {d + 1}"
            if np.isnan(difference):
                break
    task.finish()
    passed = compared > 0 and worst <= LIMIT
    failures = [] if passed else [f"cached decoding differs from the prefill by {worst:.3g} at {where}"]
    if compared == 0:
        failures = ["no token was decoded"]
    return Rung(
        name="decode",
        status="passed" if passed else "failed",
        summary=f"max |Δlogit| {worst:.2g} between cached decoding and prefill, over {compared} positions",
        failures=failures,
        figures={"max_abs_logit": worst, "positions": float(compared)},
        seconds=time.perf_counter() - started,
    )

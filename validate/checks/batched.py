"""Of check 4: several rows at once, as servers and beam search run them, beside each row alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.progress import Progress
from ...runtimes.base import Padding, Runtime, Step
from .decode import Part, Worst

Array = npt.NDArray[Any]
LONGER, SHORTER, THEN = 48, 29, 4
"""Tokens of the two rows, and of the steps behind them."""
BEAM = 12
"""Tokens of each row before the first exchange of beams."""
EXCHANGES = ((1, 0), (0, 0), (0, 1))
"""Of two rows of the cache: both change places, both go on from the first, both stay."""


def texts(row: Sequence[int]) -> list[list[int]]:
    """Cut two texts of different lengths from a row of tokens, with THEN tokens of each to go on with; [] if it is too short."""
    length = min(LONGER + THEN, len(row) * LONGER // (LONGER + SHORTER))
    longer, shorter = list(row[:length]), list(row[length:])[: length - (LONGER - SHORTER) * length // (LONGER + THEN)]
    return [longer, shorter] if THEN + 1 < len(shorter) < len(longer) else []


def check(runtime: Runtime, row: Sequence[int], limit: float, progress: Progress) -> list[Part]:
    """Run what the runtime can on two texts of a row of tokens; nothing where it takes one alone, or the row is too short."""
    rows = texts(row)
    if not rows or not runtime.paddings:
        return []
    task = progress.task("Running batches", 1)
    expected = [_alone(runtime, row) for row in rows]
    worst = Worst()
    for padding in runtime.paddings:
        _padded(runtime, rows, expected, padding, worst)
    parts = [worst.part("batch", "a batch beside single runs", limit)]
    if runtime.beams:
        parts.append(_beams(runtime, rows, limit))
    task.finish()
    return parts


def _padded(runtime: Runtime, rows: list[list[int]], expected: list[Array], padding: Padding, worst: Worst) -> None:
    """Compare both rows at every position of their own.

    The steps behind a batch that is padded right are left out: nobody generates from one, transformers warns of it.
    """
    count = 0 if padding == "right" else THEN
    then = [Step([row[len(row) - THEN + n] for row in rows]) for n in range(count)]
    made = runtime.batch([row[:-THEN] for row in rows], padding, then)
    how = {"none": "side by side", "left": "padded left", "right": "padded right"}[padding]
    for r, (row, wanted) in enumerate(zip(made.rows, expected, strict=True)):
        steps = [step[r] for step in made.steps]
        for position, logits in enumerate([*row, *steps]):
            difference = float(np.abs(logits - wanted[position]).max())
            worst.add(difference, f"position {position} of row {r + 1}, {how}")


def _beams(runtime: Runtime, rows: list[list[int]], limit: float) -> Part:
    """Let rows of the cache change places, and compare each with a single run of the tokens that it should have seen."""
    length = min(BEAM, *(len(row) - THEN for row in rows))
    seen = [row[:length] for row in rows]
    then = [Step([row[length + n] for row in rows], beams) for n, beams in enumerate(EXCHANGES)]
    made = runtime.batch(seen, "left", then)
    worst = Worst()
    for n, (step, logits) in enumerate(zip(then, made.steps, strict=True)):
        seen = [[*seen[beam], token] for beam, token in zip(EXCHANGES[n], step.tokens, strict=True)]
        for r, ids in enumerate(seen):
            difference = float(np.abs(logits[r] - _alone(runtime, ids)[-1]).max())
            worst.add(difference, f"row {r + 1} behind beam_idx {list(EXCHANGES[n])}")
    return worst.part("beams", "rows of the cache that change places", limit)


def _alone(runtime: Runtime, ids: Sequence[int]) -> Array:
    return np.concatenate([made.copy() for made in runtime.logits(ids)])

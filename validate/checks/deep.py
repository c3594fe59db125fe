"""Of check 4: single steps deep in the cache, and a short text at the end of the model's positions, beside torch.

What is expected there comes from torch on the artifact's own weights, so a fault is the graph's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtimes.base import Runtime
from ...runtimes.base import steps as cut
from ..head import Head
from ..probes import Probes
from ..scores import Scores
from .decode import Part, Worst

Array = npt.NDArray[Any]
_ROUNDING = 4.0
"""What a graph may err far out, in multiples of what the rounding of the angles to float32 does to torch itself there."""


def steps(scores: Scores, chunk: Sequence[int], limit: float) -> list[Part]:
    """Judge the single steps among the long probe's positions, read in steps of `chunk`; none, if it has none.

    Where a prefill's position is beyond the limit before any single step is, decoding is not at fault, and the logits' check
    says so.
    """
    errors = scores.joined()["max_abs"]
    single = [start for start, stop in cut(len(errors), chunk) if stop - start == 1]
    beyond = next((at for at, error in enumerate(errors) if not error <= limit), None)
    if not single or (beyond is not None and beyond not in single):
        return []
    worst = Worst()
    for at in single:
        worst.add(float(errors[at]), f"position {at}")
    return [worst.part("deep", "single steps deep in the cache beside torch", limit)]


def far(runtime: Runtime, probes: Probes, head: Head, states: Sequence[Array], limit: float) -> list[Part]:
    """Run a text at the end of the model's positions, from an empty cache: a prefill, and its last third step by step.

    Args:
        runtime: the artifact.
        probes: with the text and its place; none, if the long row goes as far.
        head: torch's, on the artifact's own weights.
        states: torch's final hidden states of the text at `first`, and near the start. Rotation is relative, so that the two
            differ by the rounding of large angles alone; where positions mean more, they say nothing of a graph's error.
        limit: on a graph's error near position 0.
    """
    ids, first = probes.far, probes.first
    if not ids:
        return []
    expected, near = (head.logits(each) for each in states)
    rounding = float(np.abs(expected - near).max())
    worst = Worst()
    chunk = (len(ids) * 2 // 3, *[1] * len(ids))
    at = 0
    for made in runtime.logits(ids, chunk, first):
        for row in made:
            worst.add(float(np.abs(row[: expected.shape[1]] - expected[at]).max()), f"position {first + at}")
            at += 1
    return [worst.part("far", "a text at the end of the positions beside torch", max(limit, _ROUNDING * rounding))]

"""95 % intervals of figures over texts: a jackknife that leaves out one text at a time, with Student's t.

Tokens of one text are not independent, so texts are what is counted, each with its windows together. Texts differ in length, and
a few long ones say as much as few texts do: the degrees of freedom follow from how many equal texts would weigh as much (Kish).
Sums of what is never negative (KL, missed choices, squares) are taken on the scale of their logarithm, where the spread of texts
is even. A bootstrap, which knows no more than the texts it has seen, covers 75 to 80 % with five of the suite's texts, this at
least 92 % (tests/validate/test_intervals.py).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FEWEST = 3
"""Texts below which there is no interval: the spread of two is known to a factor of thirty."""
_LEVEL = 0.95
_TINY = 1e-300
_WIDEST = 300.0
"""In logarithms; what is wider says nothing anyhow."""


def of_mean(sums: Array, counts: Array) -> tuple[float, float] | None:
    """Interval of a ratio of sums that may be negative.

    Args:
        sums: [texts].
        counts: [texts], of the same positions.
    """
    width = _width(_left_out(sums, counts), counts)
    value = sums.sum() / counts.sum()
    return None if width is None else (value - width, value + width)


def of_positive(sums: Array, counts: Array) -> tuple[float, float] | None:
    """Interval of a ratio of sums that are never negative; it holds the ratio, and nothing below 0."""
    value = sums.sum() / counts.sum()
    width = _width(np.log(np.maximum(_left_out(sums, counts), _TINY)), counts)
    if width is None:
        return None
    factor = np.exp(min(width, _WIDEST))
    return value / factor, value * factor


def of_share(agreed: Array, counts: Array) -> tuple[float, float] | None:
    """Interval of a share of agreement, on the scale of what disagrees, of which half a position more is taken to be there."""
    missed = counts - agreed + 0.5 * counts / counts.sum()
    width = _width(np.log(np.maximum(_left_out(missed, counts), _TINY)), counts)
    if width is None:
        return None
    center, factor = missed.sum() / counts.sum(), np.exp(min(width, _WIDEST))
    value = agreed.sum() / counts.sum()
    return float(max(0.0, min(value, 1 - center * factor))), float(max(value, 1 - center / factor))


def _left_out(sums: Array, counts: Array) -> Array:
    left_out: Array = (sums.sum() - sums) / np.maximum(counts.sum() - counts, 1)
    return left_out


def _width(left_out: Array, counts: Array) -> float | None:
    """Half of an interval, from a figure of all texts but one [texts]; None if there are too few texts."""
    texts = len(left_out)
    if texts < FEWEST:
        return None
    error = np.sqrt((texts - 1) / texts * np.square(left_out - left_out.mean()).sum())
    equal = counts.sum() ** 2 / np.square(counts).sum()
    freedom = max(1.0, (equal - 3) / 2)
    return float(quantile(int(freedom * 4) / 4) * error)


@functools.lru_cache(maxsize=64)
def quantile(freedom: float) -> float:
    """Student's t that _LEVEL of a distribution with `freedom` degrees, at least 1, lies within.

    With t = √ν tan θ its density is cos θ to the power of ν - 1, which is summed up and inverted.
    """
    angles = np.linspace(0, np.pi / 2, 200_001)
    density = np.cos(angles) ** (freedom - 1)
    whole = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(freedom) * np.tan(np.interp(_LEVEL * whole[-1], whole, angles)))

"""What two sides of an encoder differ by: states, vectors and the order of passages; or scores and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import intervals
from ..report.model import Comparison, ComparisonName, Estimate, Histogram

Array = npt.NDArray[Any]
BEST = 5
"""How many of the best passages are compared."""


@dataclass(frozen=True)
class Sides:
    """What is compared.

    Attributes:
        name: which comparison it is.
        reference: what one side is, in words.
        artifact: what the other is.
        groups: which document each text is of.
    """

    name: ComparisonName
    reference: str
    artifact: str
    groups: Sequence[str]

    def comparison(self, figures: dict[str, Estimate], tokens: int, documents: int) -> Comparison:
        """Put figures over so many tokens of so many texts together."""
        return Comparison(
            name=self.name,
            reference=self.reference,
            artifact=self.artifact,
            tokens=tokens,
            documents=documents,
            texts=len(set(self.groups)),
            figures=figures,
            histogram=Histogram(edges=[], counts=[]),
            positions=[],
        )


def embeddings(
    sides: Sides,
    states: tuple[Sequence[Array], Sequence[Array]],
    vectors: tuple[Array, Array],
    questions: int,
) -> Comparison:
    """Compare states and vectors.

    Args:
        sides: what they are.
        states: of each text float32 [n, width], of both sides.
        vectors: float32 [texts, width], of both sides; those of the questions stand last.
        questions: their number.
    """
    wanted, found = vectors
    moved = [
        float((np.linalg.norm(a - b, axis=1) / np.linalg.norm(a, axis=1)).max()) for a, b in zip(*states, strict=True)
    ]
    apart = [float(np.abs(a - b).max()) for a, b in zip(*states, strict=True)]
    lengths = [np.linalg.norm(side.astype(np.float64), axis=1) for side in vectors]
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = np.sum(wanted.astype(np.float64) * found, axis=1) / (lengths[0] * lengths[1])
        stretch = np.abs(lengths[1] / lengths[0] - 1)
    orders = [_cosines(side, questions) for side in vectors]
    bad = sum(int((~np.isfinite(one)).sum()) for one in (*states[0], *states[1]))
    figures = {
        "max_abs_state": Estimate(value=_largest(apart)),
        "state": Estimate(value=_largest(moved)),
        "length": Estimate(value=_largest(stretch.tolist())),
        "cosine": _mean_of_ones(cosines, sides.groups),
        **_ranks(orders[0], orders[1]),
        "not_finite": Estimate(value=float(bad)),
    }
    tokens = sum(len(one) for one in states[0])
    return sides.comparison(figures, tokens, len(apart))


def scores(sides: Sides, made: tuple[Array, Array], tokens: int) -> Comparison:
    """Compare scores float32 [questions, passages, labels]; a ranking goes by the first label."""
    wanted, found = made
    apart = np.abs(wanted.astype(np.float64) - found)
    bad = int((~np.isfinite(wanted)).sum() + (~np.isfinite(found)).sum())
    figures = {
        "max_abs_logit": Estimate(value=_largest([float(apart.max())])),
        "mean_abs_logit": Estimate(value=float(apart.mean())),
        **_ranks(wanted[:, :, 0], found[:, :, 0]),
        "not_finite": Estimate(value=float(bad)),
    }
    return sides.comparison(figures, tokens, wanted.shape[0] * wanted.shape[1])


def spearman(wanted: Array, found: Array) -> float:
    """Return the rank correlation of two rows of numbers; equal ones share a rank."""
    ranks = [_places(side) for side in (wanted, found)]
    spread = [side - side.mean() for side in ranks]
    norm = float(np.sqrt((spread[0] ** 2).sum() * (spread[1] ** 2).sum()))
    return float((spread[0] * spread[1]).sum() / norm) if norm else float("nan")


def _places(row: Array) -> Array:
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def _ranks(wanted: Array, found: Array) -> dict[str, Estimate]:
    """Compare the order of passages for each question, [questions, passages]."""
    rows = range(len(wanted))
    correlations = np.array([spearman(wanted[i], found[i]) for i in rows])
    best = min(BEST, wanted.shape[1])
    sets = [[set(np.argsort(-side[i], kind="stable")[:best].tolist()) for i in rows] for side in (wanted, found)]
    agreed = np.array([len(a & b) for a, b in zip(*sets, strict=True)], np.float64)
    counts = np.full(len(agreed), float(best))
    share = intervals.of_share(agreed, counts) or (None, None)
    top = Estimate(value=float(agreed.sum() / counts.sum()), low=share[0], high=share[1])
    return {"rank": _mean_of_ones(correlations, [str(i) for i in rows]), f"top{BEST}": top}


def _mean_of_ones(values: Array, groups: Sequence[str]) -> Estimate:
    """Return the mean of figures that are 1 where both sides agree, with its interval over groups."""
    if not np.isfinite(values).all():
        return Estimate(value=float("nan"))
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    which = np.array([names[name] for name in groups])
    missing = np.bincount(which, np.maximum(1 - values, 0))
    counts = np.bincount(which).astype(np.float64)
    ends = intervals.of_positive(missing, counts)
    low, high = (None, None) if ends is None else (max(-1.0, float(1 - ends[1])), float(1 - ends[0]))
    return Estimate(value=float(values.mean()), low=low, high=high)


def _cosines(vectors: Array, questions: int) -> Array:
    """Return the cosine of each question with each passage, [questions, passages]."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = vectors / length
    return np.asarray(unit[-questions:] @ unit[:-questions].T)


def _largest(values: Sequence[float]) -> float:
    return float("inf") if not np.isfinite(values).all() else max(values)

"""Intervals over texts: Student's t against scipy, and the coverage on the spread that the suite's own texts have."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from edgeconv.validate import intervals

SUITE = {
    1.0: [
    (516, 2.502, 29), (687, 3.495, 54), (642, 3.630, 42), (587, 3.069, 38), (355, 1.918, 31), (1574, 18.610, 69), (1566,
    20.075, 63), (1456, 16.515, 51), (818, 8.632, 32), (459, 2.807, 28), (363, 1.872, 11), (388, 2.002, 21), (425, 2.542,
    28), (285, 1.831, 19), (1474, 27.320, 109), (857, 16.197, 58), (809, 4.409, 66), (393, 2.182, 26), (465, 2.395, 33),
    (563, 2.946, 33), (448, 2.560, 46), (238, 1.813, 22), (226, 2.197, 19), (237, 2.052, 12), (200, 1.081, 14), (197, 1.527,
    14), (226, 1.647, 32), (195, 2.238, 15), (389, 6.857, 23), (352, 6.188, 20), (278, 5.564, 24), (171, 3.943, 21), (183,
    5.215, 16), (213, 2.921, 16),
    ],
    0.2: [
    (103, 0.444, 7), (137, 0.700, 12), (128, 0.839, 9), (117, 0.561, 5), (71, 0.382, 3), (314, 4.786, 20), (313, 5.572, 22),
    (291, 3.705, 15), (163, 1.845, 3), (91, 0.615, 4), (72, 0.359, 1), (77, 0.388, 6), (85, 0.630, 4), (57, 0.400, 6), (294,
    5.669, 17), (171, 4.735, 15), (161, 1.028, 15), (78, 0.420, 3), (93, 0.513, 9), (112, 0.646, 5), (89, 0.431, 7), (47,
    0.502, 7), (45, 0.370, 2), (47, 0.323, 3), (40, 0.232, 4), (39, 0.343, 1), (45, 0.440, 3), (39, 0.626, 4), (77, 2.427,
    6), (70, 2.442, 8), (55, 2.891, 9), (34, 0.892, 6), (36, 1.008, 4), (42, 0.627, 1),
    ],
    0.1: [
    (51, 0.202, 3), (68, 0.363, 7), (64, 0.350, 2), (58, 0.273, 3), (35, 0.219, 1), (157, 3.185, 15), (156, 3.972, 16),
    (145, 2.084, 9), (81, 0.840, 1), (45, 0.294, 2), (36, 0.164, 1), (38, 0.164, 2), (42, 0.304, 1), (28, 0.129, 1), (147,
    3.191, 8), (85, 2.276, 8), (80, 0.535, 8), (39, 0.195, 2), (46, 0.250, 3), (56, 0.351, 1), (44, 0.206, 5), (23, 0.292,
    5), (22, 0.222, 2), (23, 0.186, 2), (20, 0.100, 1), (19, 0.191, 0), (22, 0.214, 1), (19, 0.280, 2), (38, 1.014, 4), (35,
    1.131, 7), (27, 0.733, 3), (17, 0.295, 1), (18, 0.372, 1), (21, 0.130, 0),
    ],
}  # fmt: skip
"""The built-in model in int4 on the built-in suite's 34 texts, whole, a fifth and a tenth of each, as --max-tokens cuts them:
positions, sum of KL in nats, first choices that differ."""


def kl(rows: np.ndarray) -> tuple[float, float] | None:
    return intervals.of_positive(rows[:, 1], rows[:, 0])


def top1(rows: np.ndarray) -> tuple[float, float] | None:
    return intervals.of_share(rows[:, 0] - rows[:, 2], rows[:, 0])


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 3.5, 9, 15.5, 33, 400])
def test_students_t(freedom: float) -> None:
    assert intervals.quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)


def covered(
    share: float, figure: Callable[[np.ndarray], tuple[float, float] | None], texts: int, trials: int = 600
) -> float:
    """How often the interval of texts that were drawn holds the figure of all."""
    population = np.array(SUITE[share], float)
    sums = population.sum(0)
    truth = sums[1] / sums[0] if figure is kl else 1 - sums[2] / sums[0]
    rng = np.random.default_rng(texts)
    found = 0
    for _ in range(trials):
        low, high = figure(population[rng.integers(0, len(population), texts)])  # type: ignore[misc]
        found += low <= truth <= high
    return found / trials


@pytest.mark.parametrize("texts", [3, 5, 8, 12, 15, 20, 34])
def test_the_intervals_cover_what_they_say(texts: int) -> None:
    """A bootstrap of five texts covers 75 to 80 %."""
    found = {(share, figure.__name__): covered(share, figure, texts) for share in SUITE for figure in (kl, top1)}
    assert np.mean(list(found.values())) >= 0.93, found
    assert min(found.values()) >= 0.88, found


def test_few_texts_have_no_interval() -> None:
    rows = np.array(SUITE[1.0], float)
    for count in range(1, 5):
        for figure in (kl, top1):
            assert (figure(rows[:count]) is None) == (count < intervals.FEWEST)
    mixed = rows[np.random.default_rng(1).permutation(len(rows))]
    widths = [high / low for low, high in (kl(mixed[:count]) for count in (6, 12, 34))]  # type: ignore[misc]
    assert widths == sorted(widths, reverse=True)


def test_what_is_all_equal_or_all_zero() -> None:
    counts = np.array([10.0, 20, 30, 5])
    assert intervals.of_positive(np.zeros(4), counts) == (0, 0)
    low, high = intervals.of_share(counts, counts)  # type: ignore[misc]
    assert high == 1
    assert 0.99 < low < 1
    low, high = intervals.of_positive(counts * 0.3, counts)  # type: ignore[misc]
    assert low == pytest.approx(0.3)
    assert high == pytest.approx(0.3)
    low, high = intervals.of_positive(np.array([0.0, 0, 5, 0]), counts)  # type: ignore[misc]
    assert low < 1e-9
    assert high > 1e9
    assert all(math.isfinite(end) for end in (low, high))


def test_a_mean_that_may_be_negative() -> None:
    counts = np.full(12, 50.0)
    sums = np.random.default_rng(0).normal(-1, 5, 12) * 50
    low, high = intervals.of_mean(sums, counts)  # type: ignore[misc]
    assert low < -1 < high
    assert (low + high) / 2 == pytest.approx(sums.sum() / counts.sum())

from itertools import product

import numpy as np
import pytest

from edgeconv.study.search.knapsack import Knapsack, Option, hull


def items(seed: int, count: int = 5, options: int = 4) -> dict[str, list[Option]]:
    random = np.random.default_rng(seed)
    return {
        f"item {i}": [Option(f"{j}", int(random.integers(1, 60)), float(random.random() ** 3)) for j in range(options)]
        for i in range(count)
    }


@pytest.mark.parametrize("seed", range(20))
def test_no_other_choice_is_better_by_more_than_a_step(seed: int) -> None:
    """Against every choice there is: within one step of the optimum, and never outside the bound."""
    found = items(seed)
    everything = [(sum(o.bytes for o in one), sum(o.loss for o in one)) for one in product(*found.values())]
    knapsack = Knapsack(found)
    step = max(o.bytes for options in found.values() for o in options)
    for limit in np.quantile([loss for _, loss in everything], (0.05, 0.3, 0.6)):
        chosen = knapsack.within_loss(float(limit))
        assert chosen is not None
        assert sum(o.loss for o in chosen.values()) <= limit
        best = min(size for size, loss in everything if loss <= limit)
        assert sum(o.bytes for o in chosen.values()) - best <= step
    for room in np.quantile([size for size, _ in everything], (0.1, 0.5)):
        chosen = knapsack.within_bytes(int(room))
        assert chosen is not None
        assert sum(o.bytes for o in chosen.values()) <= room


def test_bounds_that_nothing_keeps() -> None:
    knapsack = Knapsack(items(1))
    smallest, finest = knapsack.ends()
    assert knapsack.within_loss(sum(o.loss for o in finest.values()) - 1e-6) is None
    assert knapsack.within_bytes(sum(o.bytes for o in smallest.values()) - 1) is None
    assert knapsack.within_bytes(sum(o.bytes for o in smallest.values())) == smallest


def test_the_hull_leaves_out_what_a_mixture_beats() -> None:
    options = [Option("a", 10, 1.0), Option("b", 20, 0.9), Option("c", 30, 0.2), Option("d", 40, 0.3)]
    assert [option.name for option in hull(options)] == ["a", "c"]

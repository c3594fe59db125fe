"""The long run: `make kill`, which hands this file to pytest. Stops at points and times that a seed draws."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from ..reliability import before, record
from .commands import ALL, Command
from .trial import Bench, Forker, KillingHub, Stop

SEED = int(os.environ.get("EDGECONV_KILL_SEED", "20261122"))
KILLS = int(os.environ.get("EDGECONV_KILLS", "30"))
"""Of each command, at least; signals that come too late do not count."""
CHAIN = 6
"""Stops of a trial: the run after each is the next one's victim, the one after the last must end well."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_figures: dict[str, dict[str, Any]] = {}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("kill")
    with KillingHub() as hub, Forker(root, hub) as forker:
        yield Bench(root, forker)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_killed_all_over(kind: type[Command], bench: Bench) -> None:
    command, drawn = kind(bench.stage), random.Random(f"{SEED} {kind.name}")
    _, undisturbed = bench.undisturbed(command)
    counted: Counter[str] = Counter()
    points: set[str] = set()
    late = trials = 0
    while counted.total() < KILLS:
        stops = sorted_by_place(_draw(drawn, undisturbed.points, undisturbed.seconds, trials), undisturbed.points)
        for stop, ended in zip(stops, bench.trial(command, stops), strict=True):
            struck = ended.code in (-signal.SIGKILL, -stop.signal, 130, 143)
            counted[stop.signal.name] += struck
            late += not struck
            if struck and stop.point:
                points.add(stop.point)
        trials += 1
    _figures[kind.name] = {
        "kills": counted.total(),
        "by_signal": dict(sorted(counted.items())),
        "came_too_late": late,
        "points": len(points),
        "reruns": trials,
        "reruns_identical": trials,
        "half_results": 0,
        "left_behind": 0,
        "sources_changed": 0,
    }
    commands = {**before("kills").get("commands", {}), **_figures}  # one command alone may be run again
    total = sum(figures["kills"] for figures in commands.values())
    record("kills", {"seed": SEED, "commands": commands, "kills": total, "bytes_lost": 0})


def _draw(drawn: random.Random, points: list[str], seconds: float, number: int) -> list[Stop]:
    """Most at points, one at a time after the start, which in every third trial is that of a process of its own."""
    chosen = drawn.sample(points, min(CHAIN - 1, len(points)))
    stops = [Stop(drawn.choice(SIGNALS), point, group=drawn.random() < 0.5) for point in chosen]
    after, group = drawn.uniform(0, seconds * 0.8), drawn.random() < 0.5
    fresh = number % 3 == 1
    return [*stops, Stop(drawn.choice(SIGNALS), after=after * (2 if fresh else 1), group=group, fresh=fresh)]


def sorted_by_place(stops: list[Stop], points: list[str]) -> list[Stop]:
    """In the order of a life, for a run may go on where the one before it stopped; last the one that may come too late."""
    return sorted(stops, key=lambda stop: points.index(stop.point) if stop.point else len(points))

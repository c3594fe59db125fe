"""One choice for each of many items: the cheapest sum of one cost below a bound on another.

Each item's choices are cut down to their lower convex hull; steps along the hulls, taken in the order of what a byte of theirs
gains, are the optimum of the linear relaxation, and but for the last step that of the choice itself (Zemel 1980).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Option:
    """One choice: its name, its bytes, and the loss that comes with it."""

    name: str
    bytes: int
    loss: float


@dataclass(frozen=True)
class _Step:
    item: str
    place: int
    """Of the option that the step leads to, on the item's hull."""
    bytes: int
    gain: float


class Knapsack:
    """Items with their options."""

    def __init__(self, items: Mapping[str, Sequence[Option]]) -> None:
        """Take at least one option for each item."""
        self._hulls = {name: hull(options) for name, options in items.items()}
        steps = [
            _Step(name, place, after.bytes - before.bytes, before.loss - after.loss)
            for name, options in self._hulls.items()
            for place, (before, after) in enumerate(pairwise(options), 1)
        ]
        self._steps = sorted(steps, key=lambda step: (-step.gain / step.bytes, step.item, step.place))

    def within_loss(self, limit: float) -> dict[str, Option] | None:
        """Return the choice of the fewest bytes whose losses sum up to no more than that; None: there is none."""
        places = dict.fromkeys(self._hulls, 0)
        left = sum(options[0].loss for options in self._hulls.values())
        taken = []
        for step in self._steps:
            if left <= limit:
                break
            places[step.item] = step.place
            left -= step.gain
            taken.append(step)
        if left > limit + 1e-12:
            return None
        for step in sorted(taken, key=lambda step: -step.bytes):  # the last step may have made another one needless
            if places[step.item] == step.place and left + step.gain <= limit:
                places[step.item] -= 1
                left += step.gain
        return self._chosen(places)

    def within_bytes(self, limit: int) -> dict[str, Option] | None:
        """Return the choice of the lowest loss that takes no more bytes; None: there is none."""
        places = dict.fromkeys(self._hulls, 0)
        room = limit - sum(options[0].bytes for options in self._hulls.values())
        if room < 0:
            return None
        for step in self._steps:
            if step.bytes <= room and places[step.item] == step.place - 1:
                places[step.item] = step.place
                room -= step.bytes
        return self._chosen(places)

    def ends(self) -> tuple[dict[str, Option], dict[str, Option]]:
        """Return the choice of the fewest bytes, and that of the lowest loss."""
        first = {name: options[0] for name, options in self._hulls.items()}
        return first, {name: options[-1] for name, options in self._hulls.items()}

    def _chosen(self, places: Mapping[str, int]) -> dict[str, Option]:
        return {name: options[places[name]] for name, options in self._hulls.items()}


def hull(options: Sequence[Option]) -> list[Option]:
    """Return the options on the lower convex hull of loss over bytes: more bytes, less loss, each step gaining less a byte."""
    best: list[Option] = []
    for option in sorted(options, key=lambda one: (one.bytes, one.loss)):
        if best and option.loss >= best[-1].loss:
            continue
        while len(best) > 1 and _gain(best[-2], best[-1]) <= _gain(best[-2], option):
            best.pop()
        best.append(option)
    return best


def _gain(before: Option, after: Option) -> float:
    return (before.loss - after.loss) / (after.bytes - before.bytes)

"""What a search chooses from: ways of compressing with a predicted KL and size, and what has been learned of the predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from ..points import Point

NEAR = 0.97
"""Share of a budget from which on a search is content: what is left would buy next to nothing."""


@dataclass(frozen=True)
class Guess:
    """A way of compressing and what is expected of it.

    Attributes:
        point: the way.
        bytes: of the artifact, predicted.
        raw: the sum of its matrices' estimated KLs, in nats per token.
        kind: predictions of one kind err alike.
    """

    point: Point
    bytes: int
    raw: float
    kind: str = "plain"


@dataclass
class Learned:
    """How far off the sums were, kind by kind.

    KL is additive to first order only, and a runtime and its rounding add something of their own. So each measured artifact
    corrects what is expected of the next ones; the largest sum that kept the budget and the smallest that did not close in on it.

    Attributes:
        factors: judged KL over sum, of the last artifact of a kind.
        kept: the largest sum of a kind that kept the budget.
        failed: the smallest that did not.
    """

    factors: dict[str, float] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)
    failed: dict[str, float] = field(default_factory=dict)

    def kl(self, guess: Guess) -> float:
        """Return the KL that is now expected of a guess."""
        return guess.raw * self.factors.get(guess.kind, 1.0)

    def limit(self, kind: str, max_kl: float) -> float:
        """Return the largest sum that may keep the budget, between those that are known to keep it and not to."""
        wanted = max_kl / self.factors.get(kind, 1.0)
        low, high = self.kept.get(kind, 0.0), self.failed.get(kind, math.inf)
        if low < wanted < high:
            return wanted
        return math.sqrt(low * high) if low > 0 and math.isfinite(high) else min(wanted, high * 0.9)

    def learn(self, guess: Guess, kl: float, max_kl: float | None) -> None:
        """Take what was measured of a guess."""
        if guess.raw > 0 and kl > 0:
            self.factors[guess.kind] = kl / guess.raw
        if max_kl is None:
            return
        if kl > max_kl:
            self.failed[guess.kind] = min(guess.raw, self.failed.get(guess.kind, math.inf))
        elif guess.raw < self.failed.get(guess.kind, math.inf):
            self.kept[guess.kind] = max(guess.raw, self.kept.get(guess.kind, 0.0))


class Space(Protocol):
    """All ways of one format.

    Attributes:
        dense: its ways lie so close together that one within NEAR of a budget leaves next to nothing to be found.
    """

    dense: bool

    def smallest_within(self, max_kl: float, learned: Learned) -> list[Guess]:
        """Return the ways that are expected to keep the budget, the smallest first."""

    def best_within(self, max_bytes: int, learned: Learned) -> list[Guess]:
        """Return the ways that are not larger, the one with the lowest expected KL first."""

    def finest(self) -> Guess:
        """Return the way with the lowest KL of all."""

    def smallest(self) -> Guess:
        """Return the smallest way of all."""

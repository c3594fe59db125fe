"""What a validation has found so far, and how large a difference is noise by that."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .metrics import compare
from .report.model import (
    BudgetLine,
    Check,
    Comparison,
    ComparisonName,
    Deviation,
    DocumentScore,
    GenerationPair,
)
from .scores import Scores


@dataclass
class Record:
    """Grows check by check.

    Attributes:
        texts: of each document of the suite the text that it is part of.
        seconds: that each step took, by its label.
        lines: budgets on other figures than logits.
        peaks: the largest activation of each layer of the reference.
    """

    texts: Sequence[str]
    rungs: list[Check] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    colored: list[DocumentScore] = field(default_factory=list)
    generations: list[GenerationPair] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    lines: list[BudgetLine] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)

    def compare(self, name: ComparisonName, reference: str, artifact: str, scores: list[Scores]) -> Comparison:
        """Add a comparison of two sides, each as a report names it, by the scores of each document."""
        groups = self.texts if len(scores) == len(self.texts) else None
        self.comparisons.append(compare(name, reference, artifact, scores, groups))
        return self.comparisons[-1]

    @contextlib.contextmanager
    def timed(self, label: str) -> Iterator[None]:
        """Add what the block takes to the seconds of a step."""
        started = time.perf_counter()
        yield
        self.seconds[label] = self.seconds.get(label, 0.0) + time.perf_counter() - started

    def noise_of_bfloat16(self) -> float:
        """Two standard deviations of the difference of two logits, if each errs as bfloat16 does on average.

        A normal error of standard deviation σ has the mean magnitude 0.8 σ; a difference of two errs by √2 σ.
        """
        floor = next(c for c in self.comparisons if c.name == "noise_floor")
        return 2 * 2**0.5 / 0.8 * floor.figures["mean_abs_logit"].value

    def noise_of_defaults(self) -> float:
        """How far below the best logit the device's defaults may choose at most: by as much as any logit of theirs was off.

        That is five standard deviations of one logit, the largest of millions, and so three and a half of the difference of two.
        The sharp bound of each token is `pipelines`'.
        """
        names = ("runtime", "runtime_decode")
        return max(c.figures["max_abs_logit"].value for c in self.comparisons if c.name in names)

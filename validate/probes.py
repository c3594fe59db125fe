"""What a validation runs beside the suite's texts: a long row of their tokens, and a short one at the end of the positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

LONG = 4096 + 512
"""Tokens of the long-context probe: far enough past 4,096 that a rotary table in float16 shows."""
FAR = 48
"""Tokens of the text at the end of the model's positions."""


@dataclass(frozen=True)
class Probes:
    """Token ids.

    Attributes:
        row: the suite's tokens in a row.
        long: LONG of them, or as many as the model has positions; over and over where the suite is shorter.
        far: what is run at the end of the model's positions; empty where `long` reaches it.
        first: the position of its first token.
        notes: what a report says of them.
    """

    row: list[int]
    long: list[int]
    far: list[int] = field(default_factory=list)
    first: int = 0
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, documents: Sequence[Sequence[int]], maximum: int | None, longest: int = LONG) -> Probes:
        """Take them from the suite.

        Args:
            documents: token ids.
            maximum: the model's positions, if it has an end of them.
            longest: the most tokens of `long`.
        """
        row = [token for ids in documents for token in ids]
        wanted = min(longest, maximum or longest)
        long = (row * (-(-wanted // max(1, len(row)))))[:wanted]
        if maximum is None or maximum < longest + FAR:
            said = f"The long-context probe ends at {wanted} positions, the model's maximum."
            return cls(row, long, notes=[said] if wanted < longest else [])
        return cls(row, long, long[:FAR], maximum - FAR)

    @property
    def texts(self) -> list[list[int]]:
        """What torch runs: the long row, and the far text where it stands and, to know the angles' rounding, at 0."""
        return [self.long, self.far, self.far] if self.far else [self.long]

    @property
    def firsts(self) -> list[int]:
        """The position of each of `texts`."""
        return [0, self.first, 0] if self.far else [0]

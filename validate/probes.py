"""What a validation runs beside the suite's texts: a long row of their tokens, and a short one at the end of the positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

STEPS = (254, 1, 1)
"""Positions of the steps of the long probe: a prefill of more positions makes logits that do not fit, and between two of them
come single steps, as an answer has them."""
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
        switch: positions beyond which the model computes otherwise (`switch_of`).
        notes: what a report says of them.
    """

    row: list[int]
    long: list[int]
    far: list[int] = field(default_factory=list)
    first: int = 0
    switch: int | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, documents: Sequence[Sequence[int]], maximum: int | None, longest: int = LONG, switch: int | None = None
    ) -> Probes:
        """Take them from the suite.

        Args:
            documents: token ids.
            maximum: the model's positions, if it has an end of them.
            longest: the most tokens of `long`.
            switch: as the attribute.
        """
        row = [token for ids in documents for token in ids]
        wanted = min(longest, maximum or longest)
        long = (row * (-(-wanted // max(1, len(row)))))[:wanted]
        if maximum is None or maximum < longest + FAR:
            said = f"The long-context probe ends at {wanted} positions, the model's maximum."
            return cls(row, long, switch=switch, notes=[said] if wanted < longest else [])
        return cls(row, long, long[:FAR], maximum - FAR, switch)

    @property
    def texts(self) -> list[list[int]]:
        """What torch runs: the long row, and the far text where it stands and, to know the angles' rounding, near the start."""
        return [self.long, self.far, self.far] if self.far else [self.long]

    @property
    def firsts(self) -> list[int]:
        """The position of each of `texts`: "near" is where the model already computes as it does far out."""
        return [0, self.first, self.switch or 0] if self.far else [0]

    @property
    def chunk(self) -> tuple[int, ...]:
        """Positions of the steps in which the long row is read.

        torch reads it at once, so where the length decides how a model computes, the first step is already that long.
        """
        if self.switch is None or self.switch >= len(self.long):
            return STEPS
        return (self.switch + 1, *STEPS[1:], *STEPS * (len(self.long) // sum(STEPS)))


def switch_of(config: dict[str, Any]) -> int | None:
    """Return the positions beyond which a model's rotary embeddings turn by other frequencies (long rope); None: they do not.

    Args:
        config: config.json.
    """
    for name in ("rope_parameters", "rope_scaling"):
        scaling = config.get(name)
        if isinstance(scaling, dict) and scaling.get("long_factor"):
            stated = config.get("original_max_position_embeddings", scaling.get("original_max_position_embeddings"))
            return int(stated) if stated else None
    return None

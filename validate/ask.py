"""What a user asks of a validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Ask:
    """What a user asks of a validation.

    `quick` runs the reference and the artifact once, teacher-forced, the conversion over QUICK tokens, no more. `strict` makes
    every listed defect of the engine a failure. `recipe` is the SHA-256 of the recipe that asks, which the
    report names.
    """

    artifact: Path
    reference: str | None = None
    suite: Path | None = None
    budgets: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int | None = None
    reference_dtype: str = "float32"
    device: str = "CPU"
    quick: bool = False
    strict: bool = False
    recipe: str = ""

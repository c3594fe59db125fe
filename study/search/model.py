"""The result of `edgeconv search`, as JSON has it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...core.format_names import FormatName
from ...validate.report.model import Estimate


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchTrial(_Model):
    """One artifact that was made and measured, with what had been expected of it."""

    label: str
    options: dict[str, Any] = Field(description="Fields of a recipe's target.")
    summed_kl: float = Field(description="Sum of the estimated KLs of its matrices, nats per token.")
    expected_kl: float = Field(description="The same, corrected by the artifacts measured before it: of judged_kl.")
    mean_kl: Estimate
    judged_kl: float = Field(description="The worse end of its interval, which a validation holds against a budget.")
    top1: Estimate
    expected_bytes: int
    bytes: int
    keeps: bool = Field(description="It is within what was asked.")


class Search(_Model):
    """The whole result. `winner` and `nearest` are numbers of trials; `nearest` is null where there is a winner."""

    search: Literal[1] = 1
    model: str
    format: FormatName
    max_kl: float | None
    max_bytes: int | None
    suite: str
    suite_digest: str
    tokens: int | None
    trials: list[SearchTrial]
    winner: int | None
    nearest: int | None
    reason: str
    recipe: dict[str, Any] | None = Field(description="What `edgeconv run` carries out.")
    versions: dict[str, str] = {}

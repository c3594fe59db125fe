"""The result of `edgeconv frontier`, as JSON has it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...core.format_names import FormatName
from ...validate.report.model import Estimate


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrontierPoint(_Model):
    """One way of compressing; `mean_kl` is in nats per token, the artifact in its own runtime beside the reference in float32."""

    label: str
    format: FormatName
    options: dict[str, Any] = Field(description="Fields of a recipe's target.")
    command: str
    bytes: int = Field(description="Of all files that the conversion wrote, tokenizers included.")
    bits_per_weight: float
    mean_kl: Estimate
    top1: Estimate
    front: bool = Field(description="No other point is smaller and better.")
    own_front: bool = Field(description="No other point of its format is.")


class Frontier(_Model):
    """The whole result, the smallest first."""

    frontier: Literal[1] = 1
    model: str
    source_bytes: int
    suite: str
    suite_digest: str
    tokens: int | None = Field(description="Of the suite that were asked for; null: all.")
    points: list[FrontierPoint]
    left_out: dict[str, str] = {}
    versions: dict[str, str] = {}

"""The result of `edgeconv sensitivity`, as JSON has it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ...validate.report.model import Estimate

Kind = Literal["layer", "attention", "mlp", "embeddings", "head", "vision"]
By = Literal["layer", "component", "tensor"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartFigure(_Model):
    """What it costs to compress one part and nothing else.

    `mean_kl` is KL(reference ‖ model with this part compressed) per token in nats. An interval is that of a bootstrap over
    texts if the part was run in full, and of the random directions if it was estimated; `top1` is known of the former only.
    """

    name: str
    kind: Kind
    tensors: list[str]
    parameters: int
    bytes: int = Field(description="Of the part, compressed.")
    saved: int = Field(description="Bytes fewer than in the checkpoint.")
    stored_as: dict[str, int] = Field(description="How its matrices are stored, and how many of them.")
    mean_kl: Estimate
    top1: Estimate | None = None


class Sensitivity(_Model):
    """The whole result."""

    sensitivity: Literal[1] = 1
    model: str
    weights_digest: str
    suite: str
    suite_digest: str
    tokens: int
    documents: int
    precision: str
    by: By
    method: Literal["exact", "estimate"]
    parts: list[PartFigure]
    notes: list[str] = []
    versions: dict[str, str] = {}

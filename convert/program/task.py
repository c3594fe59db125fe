"""What an encoder is for: one vector of a text, or scores of it; and what becomes of the states of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["embed", "score"]
Pooling = Literal["mean", "cls", "last"]
POOLING_TYPES: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last"}
"""llama.cpp's numbers of them (`enum llama_pooling_type`)."""


@dataclass(frozen=True)
class Dense:
    """A layer behind the pooling, which lies in a folder of its own.

    Attributes:
        folder: of its weights ("2_Dense").
        width: numbers that it reads.
        out: numbers that it makes.
        bias: it adds one.
    """

    folder: str
    width: int
    out: int
    bias: bool


@dataclass(frozen=True)
class Task:
    """What is made of a text.

    Attributes:
        kind: "embed", a vector; "score", numbers of a classifier or a reranker.
        pooling: how the states of all tokens become one; None: the checkpoint does not say. Of a scoring model its own head's.
        normalize: the vector is divided by its length.
        dense: layers between pooling and length.
        max_length: tokens at which texts are cut, if the checkpoint says so.
        labels: numbers of a scoring model.
        prompts: what is put in front of texts of a kind, by the kind's name.
    """

    kind: Kind
    pooling: Pooling | None = None
    normalize: bool = False
    dense: tuple[Dense, ...] = ()
    max_length: int | None = None
    labels: int = 0
    prompts: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """Put it into a clause."""
        if self.kind == "score":
            return f"{self.labels} score{'' if self.labels == 1 else 's'} of a text or a pair"
        pooled = {
            "mean": "the mean of its tokens",
            "cls": "its first token",
            "last": "its last token",
            None: "not stated",
        }
        steps = [f"vector of a text: {pooled[self.pooling]}", *(f"{d.folder} to {d.out}" for d in self.dense)]
        return ", ".join([*steps, *(["of length 1"] if self.normalize else [])])

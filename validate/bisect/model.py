"""What a bisection found: the answer of `edgeconv validate --bisect --json`; its schema stands in docs/bisect.schema.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

OperationName = Literal[
    "embeddings", "attention", "state space", "MLP", "attention and MLP", "state space and MLP", "final norm", "head"
]
"""Norms belong to the operation that they stand before or behind; attention and MLP are one where they stand side by side."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Operation(_Model):
    """One operation of the model; every error is an RMS over all tokens, as a share.

    Attributes:
        layer: counted from 0; None for what stands outside of the layers.
        name: which operation.
        error: of the states behind it, of the whole artifact against the whole reference, of the reference's states.
        added: of what the operation adds to the residual stream, both given the artifact's input: the part of the error that is
            its own. Of `layer` None: of its output.
        weights: the same, of the reference with the artifact's weights: what their rounding, or a fault in them, explains, and
            llama.cpp's table of GELU.
        computed: the same, of the artifact against the reference with the artifact's weights: what the computation errs.
        tolerance: what `computed` is of a reference that rounds as float16 does, or as bfloat16 where the artifact computes in 16
            bits.
        wrong_weights: sentences on its weights that are not the checkpoint's within what their format allows.
        departs: `computed` is above `tolerance`, or there are wrong weights.
    """

    layer: int | None
    name: OperationName
    error: float
    added: float
    weights: float
    computed: float
    tolerance: float
    wrong_weights: list[str] = []
    departs: bool


class Bisection(_Model):
    """A whole bisection.

    Attributes:
        verdict: "departs" if any operation does.
        sentence: which one does first, and why; or that none does.
        first: the first operation that departs.
        artifact: what it is called.
        stored_as: how most of its weights are stored.
        reference: what its checkpoint is called.
        runtime: what ran the artifact.
        texts: how many were run.
        tokens: how many they have.
        operations: all, in the order in which they are computed.
    """

    verdict: Literal["sound", "departs"]
    sentence: str
    first: Operation | None
    artifact: str
    stored_as: str
    reference: str
    runtime: str
    texts: int
    tokens: int
    operations: list[Operation]

"""Rows of different lengths as one batch: filled up to one length, with the mask and the positions that go with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Batch, Padding, Step

Array = npt.NDArray[Any]
Forward = Callable[[Array, Array, Array, Array], Array]
"""Takes ids [batch, n], mask [batch, past + n], positions [batch, n], all int64, and beams int32 [batch]; gives logits float32
[batch, n, vocab], which may be the runtime's own memory."""
_FILLER = 0
"""A token that stands where the mask says that there is none; which one must not matter."""


@dataclass(frozen=True)
class Padded:
    """A batch in one length.

    Attributes:
        ids: int64 [batch, n].
        mask: int64 [batch, n], 1 where there is a token.
        positions: int64 [batch, n]: each row's own count from 0, 0 in its padding.
    """

    ids: Array
    mask: Array
    positions: Array

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], padding: Padding) -> Padded:
        """Fill rows up on one side."""
        width = max(map(len, rows))
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
        if padding == "left":
            mask = np.ascontiguousarray(mask[:, ::-1])
        ids = np.full_like(mask, _FILLER)
        for line, kept, row in zip(ids, mask, rows, strict=True):
            line[kept == 1] = row
        return cls(ids, mask, np.maximum(mask.cumsum(1) - 1, 0))


def run_batch(forward: Forward, rows: Sequence[Sequence[int]], padding: Padding, then: Sequence[Step]) -> Batch:
    """Run a batch and the steps behind it, as `base.Runtime.batch` wants it, on a cache that `forward` keeps."""
    batch = Padded.of(rows, padding)
    straight = np.arange(len(rows), dtype=np.int32)
    logits = forward(batch.ids, batch.mask, batch.positions, straight)
    own = [made[kept == 1].copy() for made, kept in zip(logits, batch.mask, strict=True)]
    mask, position = batch.mask, batch.mask.sum(1)
    made_by_steps = []
    for step in then:
        beams = straight if step.beams is None else np.array(step.beams, np.int32)
        mask = np.concatenate([mask[beams], np.ones((len(rows), 1), np.int64)], 1)
        position = position[beams]
        tokens = np.array(step.tokens, np.int64)[:, None]
        made_by_steps.append(forward(tokens, mask, position[:, None], beams)[:, -1].copy())
        position = position + 1
    return Batch(own, made_by_steps)

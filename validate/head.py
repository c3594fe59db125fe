"""The last projection of a reference: hidden states to logits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
HEAD_ROWS = 8192
"""Rows of the head that are widened at a time."""
WIDE = 256 << 20
"""Bytes up to which a widened head is kept."""
AHEAD = 80 << 20
"""Bytes of logits that are computed at a time, of as many documents as that takes."""
AHEAD_ROWS = 1024
"""Positions beyond which nothing more is gained by computing several at a time."""


@dataclass(frozen=True)
class Head:
    """The last projection, kept in its own type and widened block by block. `weight` is [vocab, hidden].

    `scale` multiplies its logits (Cohere's `logit_scale`, Granite's `logits_scaling`), before `softcap` (Gemma 2) bends them.
    `release` gives the memory back in which the pages of a mapped weight lie; called after each block.
    """

    weight: Any
    bias: Any | None
    dtype: str
    softcap: float | None = None
    scale: float = 1.0
    release: Callable[[], None] = lambda: None

    @functools.cached_property
    def _widened(self) -> Any:
        """The weight in the type of the computation, where that is small; widening it anew costs a fifth of the product."""
        import torch

        kind = getattr(torch, self.dtype)
        return self.weight.to(kind) if self.weight.numel() * kind.itemsize <= WIDE else self.weight

    def logits(self, hidden: Array) -> Array:
        """Project float32 hidden states [n, hidden] to float32 logits [n, vocab], computed in `dtype`."""
        import torch

        kind = getattr(torch, self.dtype)
        states = torch.from_numpy(np.ascontiguousarray(hidden)).to(kind)
        with torch.no_grad():
            made = torch.empty(len(states), self.weight.shape[0], dtype=kind)
            if self._widened.dtype == kind:
                torch.mm(states, self._widened.T, out=made)
            else:
                for start in range(0, self.weight.shape[0], HEAD_ROWS):
                    part = slice(start, start + HEAD_ROWS)
                    made[:, part] = states @ self.weight[part].to(kind).T
                    self.release()
            if self.bias is not None:
                made += self.bias.to(kind)
            if self.scale != 1:
                made *= self.scale
            if self.softcap:
                made = torch.tanh(made / self.softcap) * self.softcap
        logits: Array = made.float().numpy()
        return logits


class Ahead:
    """The logits of several documents, in their order, computed for many positions at a time.

    A head that is too large to be kept widened is widened once for each product: with 150,000 tokens that costs as much as the
    product for 30 positions, and texts are that short where many share a small number of tokens.
    """

    def __init__(self, head: Head, states: Sequence[Array]) -> None:
        """Compute nothing yet.

        Args:
            head: the projection.
            states: float32 [n, hidden] of each document.
        """
        self._head = head
        self._states = states
        self._document = self._position = 0
        self._rows = max(1, min(AHEAD_ROWS, AHEAD // (4 * head.weight.shape[0])))
        self._made: Array | None = None

    def take(self, count: int) -> Array:
        """Return logits of the next positions, float32 [n, vocab]: n is `count` or less, and 0 only behind the last one."""
        if self._made is None or not len(self._made):
            self._made = None  # its memory goes before the next is computed
            parts = self._next(self._rows)
            width = self._head.weight.shape[0]
            self._made = self._head.logits(np.concatenate(parts)) if parts else np.empty((0, width), np.float32)
        taken, self._made = self._made[:count], self._made[count:]
        return taken

    def _next(self, count: int) -> list[Array]:
        """Return the states of the next positions, at most `count`."""
        parts: list[Array] = []
        while count and self._document < len(self._states):
            part = self._states[self._document][self._position : self._position + count]
            count -= len(part)
            self._position += len(part)
            if self._position == len(self._states[self._document]):
                self._document, self._position = self._document + 1, 0
            if len(part):
                parts.append(part)
        return parts

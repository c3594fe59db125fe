"""The last projection of a reference: hidden states to logits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
HEAD_ROWS = 16384
"""Rows of the head that are widened at a time."""
WIDE = 256 << 20
"""Bytes up to which a widened head is kept."""


@dataclass(frozen=True)
class Head:
    """The last projection, kept in its own type and widened block by block. `weight` is [vocab, hidden].

    `scale` multiplies its logits (Cohere's `logit_scale`, Granite's `logits_scaling`), before `softcap` (Gemma 2) bends them.
    """

    weight: Any
    bias: Any | None
    dtype: str
    softcap: float | None = None
    scale: float = 1.0

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
            if self.bias is not None:
                made += self.bias.to(kind)
            if self.scale != 1:
                made *= self.scale
            if self.softcap:
                made = torch.tanh(made / self.softcap) * self.softcap
        logits: Array = made.float().numpy()
        return logits

"""What an engine is: something that turns rows of weights into ggml blocks."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .types import Type

Array = npt.NDArray[Any]
DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.uint16): 2}
"""Element types of the weights, as kernels.c numbers them; uint16 holds the bits of bfloat16."""


class Outcome(IntEnum):
    """How a run ended, as kernels.c numbers it. After OVERFLOW everything is written, but not with finite scales."""

    DONE = 0
    NOT_FINITE = 1
    OVERFLOW = 3


class Engine(Protocol):
    """Something that quantizes."""

    name: str

    def supports(self, kind: Type, weighted: bool) -> bool:
        """True if it can write the type, `weighted`: with an importance matrix."""
        ...

    def run(self, rows: Array, kind: Type, importance: Array | None, out: Array) -> Outcome:
        """Quantize a block of rows.

        Args:
            rows: [n, cols], contiguous, of one of DTYPES.
            kind: the type; cols is a multiple of its block.
            importance: float32 [cols], contiguous, or None.
            out: uint8 [n, row bytes], contiguous; written.
        """
        ...

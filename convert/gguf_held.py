"""How a GGUF holds a tensor otherwise than the checkpoint: rows or columns in another order, or a function of the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Held:
    """One way.

    Attributes:
        rows: the checkpoint's row that stands in each row; None: they stand as they are.
        columns: the same of columns; of a vector its elements.
        decays: it holds -exp(w), in float32.
        whole: it is no norm of the kind whose weights the checkpoint stores less an offset.
    """

    rows: npt.NDArray[np.int64] | None = field(default=None, compare=False)
    columns: npt.NDArray[np.int64] | None = field(default=None, compare=False)
    decays: bool = False
    whole: bool = False

    @property
    def moved(self) -> bool:
        """True if rows or columns lie in another order."""
        return self.rows is not None or self.columns is not None

    def cut(self, whole: Array, start: int, stop: int) -> Array:
        """Return rows [start, stop) as the file orders them, of a tensor [rows, columns] of the checkpoint's."""
        part = whole[start:stop] if self.rows is None else whole[self.rows[start:stop]]
        return part if self.columns is None else part[:, self.columns]

    def apply(self, values: Array) -> Array:
        """Apply the function to float32 values."""
        return -np.exp(values) if self.decays else values

    def undo(self, whole: Array) -> Array:
        """Return a whole tensor [rows, columns], float32, as the checkpoint has it."""
        if self.decays:
            with np.errstate(invalid="ignore", divide="ignore"):
                whole = np.log(-whole)
        if not self.moved:
            return whole
        made = np.empty_like(whole)
        rows = slice(None) if self.rows is None else self.rows
        if self.columns is None:
            made[rows] = whole
        else:
            ordered = np.empty_like(whole)
            ordered[:, self.columns] = whole
            made[rows] = ordered
        return made


AS_IT_IS = Held()

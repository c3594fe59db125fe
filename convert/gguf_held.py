"""How a GGUF holds a tensor otherwise than the checkpoint: rows or columns in another order, a part of them, or a function."""

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
        part: `rows` are some of the checkpoint's; further tensors of the file hold the others.
        matrices: the rows are so many matrices, which the file has as a stack; 0: one matrix.
        turned: each of them is turned over.
        times: by what each row of a matrix is multiplied, in the file's order; one number for all (of a vector, too).
        exact: where the file has 16 bits, which would round the products anew, this is float32.
        lies: the shape in the file, where neither rows nor parts make it another.
    """

    rows: npt.NDArray[np.int64] | None = field(default=None, compare=False)
    columns: npt.NDArray[np.int64] | None = field(default=None, compare=False)
    decays: bool = False
    whole: bool = False
    part: bool = False
    matrices: int = 0
    turned: bool = False
    times: npt.NDArray[np.float32] | None = field(default=None, compare=False)
    exact: bool = False
    lies: tuple[int, ...] | None = None

    @property
    def moved(self) -> bool:
        """True if rows or columns lie in another order."""
        return self.rows is not None or self.columns is not None

    @property
    def changed(self) -> bool:
        """True if values are others."""
        return self.decays or self.times is not None

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in the file of a tensor of the checkpoint's."""
        if not self.part or self.rows is None:
            return self.lies or stored
        rows = (len(self.rows), *stored[1:])
        if not self.matrices:
            return rows
        each = (rows[0] // self.matrices, *rows[1:])
        return (self.matrices, *(each[::-1] if self.turned else each))

    def cut(self, whole: Array, start: int, stop: int) -> Array:
        """Return rows [start, stop) as the file orders them, of a tensor [rows, columns] of the checkpoint's."""
        if self.turned:
            return self._cut_turned(whole, start, stop)
        part = whole[start:stop] if self.rows is None else whole[self.rows[start:stop]]
        return part if self.columns is None else part[:, self.columns]

    def _cut_turned(self, whole: Array, start: int, stop: int) -> Array:
        """Read only the matrices that the rows are of: each has as many rows in the file as the checkpoint has columns."""
        assert self.rows is not None
        each, long = len(self.rows) // self.matrices, whole.shape[1]
        parts = []
        for number in range(start // long, -(-stop // long)):
            first, last = max(start - number * long, 0), min(stop - number * long, long)
            parts.append(whole[self.rows[number * each : (number + 1) * each], first:last].T)
        return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def apply(self, values: Array, first: int = 0) -> Array:
        """Apply the function to float32 rows, of which the first has the number `first`."""
        values = -np.exp(values) if self.decays else values
        return values if self.times is None else values * self._times(len(values), first)

    def _times(self, rows: int, first: int) -> Array:
        """Return the factors of so many rows, [rows, 1], or the one of all."""
        assert self.times is not None
        return self.times if self.times.size == 1 else self.times[first : first + rows, None]

    def put(self, held: Array, into: Array) -> None:
        """Put what a part holds, float32, into its rows of the whole tensor [rows, columns] as the checkpoint has it."""
        assert self.rows is not None
        if self.turned:
            held = held.reshape(self.matrices, into.shape[1], -1).swapaxes(1, 2)
        into[self.rows] = held.reshape(len(self.rows), into.shape[1])

    def undo(self, whole: Array) -> Array:
        """Return a whole tensor [rows, columns], float32, as the checkpoint has it."""
        if self.times is not None:
            whole = whole / self._times(len(whole), 0)
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

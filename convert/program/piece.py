"""A part of a tensor, or its dimensions in another order, as a view: what a file holds otherwise than the checkpoint.

Read, it gives the part without copying; written to, it puts the part back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """One part.

    Attributes:
        seen: the shape in which the tensor is looked at first; None: its own.
        taken: index or range along each of these dimensions, from the first on.
        axes: order of the dimensions that are left; None: as they are.
        shape: in the file; None: that of the part.
    """

    seen: Shape | None = None
    taken: tuple[int | slice, ...] = ()
    axes: tuple[int, ...] | None = None
    shape: Shape | None = None

    def of(self, tensor: Array) -> Array:
        """Return the part, a view of a tensor that is contiguous."""
        view: Array = (tensor if self.seen is None else tensor.reshape(self.seen))[self.taken]
        return view if self.axes is None else view.transpose(self.axes)

    def lies(self, stored: Shape) -> Shape:
        """Return the shape in the file of a part of a tensor of that shape."""
        return self.of(np.broadcast_to(np.int8(0), stored)).shape if self.shape is None else self.shape

    def rows(self, tensor: Array, start: int, stop: int, columns: int) -> Array:
        """Return rows [start, stop) of the part as [n, columns]; no more of it is copied than these, but for a vector."""
        view = self.of(tensor)
        each = math.prod(view.shape[1:]) // columns
        if each == 0:
            return view.reshape(-1, columns)[start:stop]
        first = start // each
        block = view[first : -(-stop // each)].reshape(-1, columns)
        return block[start - first * each : stop - first * each]

    def put(self, held: Array, into: Array) -> None:
        """Put what the file holds of it into its place in the whole tensor."""
        view = self.of(into)
        view[...] = held.reshape(view.shape)


WHOLE = Piece()

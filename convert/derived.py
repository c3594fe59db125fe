"""What an export makes of a tensor when it does not keep it as it is: a function of its values, or a part of it.

Norms of the Gemma kind multiply by 1 + w, states decay by -exp(w); experts and joined projections are cut apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..quantize.integer import to_float32

Array = npt.NDArray[Any]
_MOST = 1024
"""Parts that a tensor may be cut into."""


@dataclass(frozen=True)
class Form:
    """How a constant follows from a tensor.

    Attributes:
        function: "" (the values themselves), "1 + w", "exp(w)" or "-exp(w)".
        axis: 0 or 1, along which the tensor was cut into equal parts; None: it is whole.
        part: which of them this is.
        parts: how many there are.
        turned: its last two dimensions are swapped (stacks of matrices, which graphs read as [columns, rows]).
        strided: the part is every so many-th of the last dimension, beginning with its number (gate and up that take turns).
        woven: the halves of its second dimension take turns there.
    """

    function: str = ""
    axis: int | None = None
    part: int = 0
    parts: int = 1
    turned: bool = False
    strided: bool = False
    woven: bool = False

    def cut(self, tensor: Array) -> Array:
        """Return the part of a tensor that this is made of, as a view (woven ones [n, rows / 2, 2, …])."""
        if self.strided:
            tensor = tensor[..., self.part :: self.parts]
        if self.woven:
            return tensor.reshape(len(tensor), 2, tensor.shape[1] // 2, *tensor.shape[2:]).swapaxes(1, 2)
        if self.axis is None or self.strided:
            return tensor.swapaxes(-1, -2) if self.turned else tensor
        if self.axis == 0:
            step = tensor.shape[0] // self.parts
            made = tensor[self.part * step : (self.part + 1) * step]
            return made[0] if step == 1 else made
        step = tensor.shape[1] // self.parts
        return tensor[:, self.part * step : (self.part + 1) * step]

    def apply(self, values: Array) -> Array:
        """Apply the function to float32 values."""
        if self.function == "1 + w":
            return values + np.float32(1)
        if self.function:
            return np.exp(values) if self.function == "exp(w)" else -np.exp(values)
        return values

    def undo(self, values: Array) -> Array:
        """Return the float32 values to which the function was applied."""
        if self.function == "1 + w":
            return values - np.float32(1)
        if self.function:
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.log(values if self.function == "exp(w)" else -values)
        return values

    def of(self, tensor: Array) -> Array:
        """Return what the constant holds of a tensor (bfloat16 as uint16), float32."""
        return self.apply(to_float32(self.cut(tensor)))


AS_IS = Form()


def forms(shape: tuple[int, ...], elements: int) -> Iterator[Form]:
    """Give the forms in which so many elements can follow from a tensor of that shape."""
    size = math.prod(shape)
    if size == elements:
        yield AS_IS
        if len(shape) == 1:
            yield from (Form("1 + w"), Form("exp(w)"), Form("-exp(w)"))
        if len(shape) == 3:
            yield Form(turned=True)
            if shape[1] % 2 == 0:
                yield Form(woven=True)
        return
    if elements < 1 or size % elements or not 1 < size // elements <= _MOST or len(shape) < 2:
        return
    parts = size // elements
    for axis in range(min(2, len(shape))):
        if shape[axis] % parts == 0:
            yield from (Form("", axis, part, parts) for part in range(parts))
    if parts == 2 and shape[-1] % 2 == 0:
        turned = len(shape) == 3
        yield from (Form("", len(shape) - 1, part, parts, turned, strided=True) for part in range(parts))


def closest(held: Array, tensors: dict[str, Array], limit: float) -> tuple[str, Form] | None:
    """Return which tensor, in which form, comes nearest to float32 values; None if none is as near as `limit`.

    Args:
        held: the values, of any shape.
        tensors: the candidates by name, as a checkpoint gives them.
        limit: RMS of the difference over that of the values in question.
    """
    flat = held.reshape(-1)
    best, found = limit, None
    for name, tensor in tensors.items():
        for form in forms(tensor.shape, flat.size):
            part = form.cut(tensor).reshape(-1)
            few = slice(None, None, max(1, flat.size // 4096))
            apart = distance(flat[few], form.apply(to_float32(part[few])))
            if apart < best or (found is None and apart == best == 0):
                best, found = apart, (name, form)
    return found


def distance(held: Array, wanted: Array) -> float:
    """Return the RMS of the difference, relative to that of `wanted`."""
    with np.errstate(invalid="ignore", over="ignore"):
        error = float(np.sqrt(np.mean(np.square(held.astype(np.float64) - wanted))))
        norm = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64))))
    if not math.isfinite(error):
        return math.inf
    return error / norm if norm else (0.0 if error == 0 else math.inf)

"""The functions of `integers.c`, if the installation could build them; numpy computes the same, to the bit."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ...core.compiled import library

Array = npt.NDArray[Any]
FLOAT32, BFLOAT16, INT8, UINT8 = range(4)
"""The kinds of values that it reads."""


@functools.cache
def load() -> ctypes.CDLL | None:
    """Load them; None if they were not built or EDGECONV_KERNELS=numpy asks for the fallback."""
    lib = library("edgeconv.validate.weights._integers")
    if lib is None:
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    packed: list[Any] = [pointer, size, pointer, pointer, size, size, size]
    lib.ec_fit.argtypes = [pointer, size, *packed, pointer, pointer]
    lib.ec_values.argtypes = [*packed, pointer]
    lib.ec_fit.restype = lib.ec_values.restype = None
    return lib


@dataclass(frozen=True)
class Packed:
    """Rows of an integer weight as `integers.c` reads them.

    Attributes:
        levels: of `kind`, [rows, groups, group].
        scale: float32 [rows, groups].
        zero: float32 [rows, groups], what is taken from the levels; None: nothing.
        shape: rows, groups, and the elements of a group.
    """

    levels: Array
    kind: int
    scale: Array
    zero: Array | None
    shape: tuple[int, int, int]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What both functions take."""
        zero = None if self.zero is None else self.zero.ctypes.data
        return (self.levels.ctypes.data, self.kind, self.scale.ctypes.data, zero, *self.shape)

"""The compiled kernels of `kernels.c`, if the installation could build them."""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from ..core.compiled import library

DTYPES = {np.dtype(np.uint16): 0, np.dtype(np.float32): 1}
"""Element types that the kernels read: bfloat16 as its bits in uint16, float32."""


@functools.cache
def load() -> ctypes.CDLL | None:
    """Load the kernels; None if they were not built or EDGECONV_KERNELS=numpy asks for the fallback."""
    lib = library("edgeconv.quantize._kernels")
    if lib is None:
        return None
    pointer, size, small = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    lib.ec_compress.argtypes = [pointer, small, size, size, size, small, small, pointer, pointer, pointer]
    lib.ec_int8_error.argtypes = [pointer, small, size, size, pointer]
    lib.ec_not_finite.argtypes = [pointer, small, size]
    return lib


def describe() -> str:
    """Name what quantizes: for `edgeconv doctor` and the run's log."""
    return "compiled C kernels" if load() else "numpy (the compiled kernels are not built)"

"""The compiled kernels of `kernels.c`, if the installation could build them: every type, several times ggml's speed."""

from __future__ import annotations

import ctypes
import functools
import importlib.util

from .engine import DTYPES, Array, Outcome
from .types import Type

_FLOATS = {"f32": 0, "f16": 1, "bf16": 2}


@functools.cache
def load() -> ctypes.CDLL | None:
    """Load the kernels; None if they were not built."""
    spec = importlib.util.find_spec("edgeconv.quantize.ggml._kernels")
    if spec is None or spec.origin is None:
        return None
    return declare(ctypes.CDLL(spec.origin))


def declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Tell ctypes what the kernels take."""
    pointer, size, small = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    lib.ec_ggml_quantize.argtypes = [pointer, small, size, size, small, pointer, pointer]
    lib.ec_ggml_convert.argtypes = [pointer, small, size, small, pointer]
    return lib


class Compiled:
    """The engine that runs them, without the interpreter's lock."""

    name = "compiled C kernels"

    def __init__(self, lib: ctypes.CDLL) -> None:
        self._lib = lib

    def supports(self, kind: Type, weighted: bool) -> bool:
        """True: all types, with importance and without."""
        return True

    def run(self, rows: Array, kind: Type, importance: Array | None, out: Array) -> Outcome:
        """Quantize; see Engine."""
        dtype, source, target = DTYPES[rows.dtype], rows.ctypes.data, out.ctypes.data
        if kind.name in _FLOATS:
            return Outcome(self._lib.ec_ggml_convert(source, dtype, rows.size, _FLOATS[kind.name], target))
        weights = None if importance is None else importance.ctypes.data
        return Outcome(self._lib.ec_ggml_quantize(source, dtype, *rows.shape, kind.number, weights, target))

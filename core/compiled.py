"""The project's compiled functions: optional, for each has a form in Python that computes the same."""

from __future__ import annotations

import ctypes
import importlib.util
import os


def library(module: str) -> ctypes.CDLL | None:
    """Open the library of an extension module by its whole name.

    Returns:
        None if it was not built (no C compiler), or EDGECONV_KERNELS=numpy asks for the form in Python.
    """
    if os.environ.get("EDGECONV_KERNELS") == "numpy":
        return None
    spec = importlib.util.find_spec(module)
    return None if spec is None or spec.origin is None else ctypes.CDLL(spec.origin)

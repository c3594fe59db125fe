"""The compiled figures of `scores.c`, if the installation could build them; `scores.py` computes the same with torch."""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.compiled import library

Array = npt.NDArray[Any]
FIGURES = ("worst", "distance", "ra", "rr", "aa", "normal_r", "normal_a", "kl")


@functools.cache
def load() -> ctypes.CDLL | None:
    """Load them; None if they were not built or EDGECONV_KERNELS=numpy asks for the fallback."""
    lib = library("edgeconv.validate._scores")
    if lib is None:
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    lib.ec_scores.argtypes = [pointer, pointer, size, size, size, pointer, pointer]
    lib.ec_scores.restype = None
    return lib


def figures(lib: ctypes.CDLL, reference: Array, artifact: Array) -> dict[str, Array]:
    """Compute, for each row, what FIGURES names: float64 [n] each.

    Args:
        lib: the kernels.
        reference: float32 [n, vocab], C-contiguous.
        artifact: float32 [n, at least vocab], rows contiguous.
    """
    rows, vocab = reference.shape
    out = np.empty((rows, len(FIGURES)))
    stride = artifact.strides[0] // artifact.itemsize

    def part(start: int, stop: int) -> None:
        scratch = np.empty(vocab, np.float32)
        lib.ec_scores(
            reference[start:].ctypes.data, artifact[start:].ctypes.data, stop - start, vocab, stride,
            scratch.ctypes.data, out[start:].ctypes.data,
        )  # fmt: skip

    threads = min(_threads(), rows)
    bounds = [rows * i // threads for i in range(threads + 1)]
    if threads == 1:
        part(0, rows)
    else:
        list(_pool().map(part, bounds[:-1], bounds[1:]))
    return {name: out[:, i] for i, name in enumerate(FIGURES)}


def _threads() -> int:
    import torch

    return int(torch.get_num_threads())


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads())

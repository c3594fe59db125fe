"""Rows of weights -> the bytes of a ggml type, those of llama.cpp's own quantizer."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...core.errors import CheckpointError, UsageError
from ..integer import to_float32
from . import choose
from .engine import DTYPES, Array, Outcome
from .types import Type, find

_SHARE = 1 << 16
"""Weights that are worth a thread's while."""


def row_bytes(kind: str | Type, cols: int) -> int:
    """Bytes of a row of `cols` weights.

    Raises:
        UsageError: the type is unknown, or cols is not a multiple of its block.
    """
    return _type(kind).row_bytes(cols)


def quantize(
    rows: Array, kind: str | Type, importance: Array | None = None, threads: int | None = None, name: str = "weights"
) -> Array:
    """Quantize rows on threads.

    Args:
        rows: [n, cols]; float32, float16, or uint16 (the bits of bfloat16); another dtype is cast to float32.
        kind: the ggml type or its name.
        importance: float32 [cols], not negative: how much each column's error matters (llama.cpp's imatrix); or None.
            f32, f16, bf16 and q8_0 take no notice of it.
        threads: how many; None: the cores that this process may use.
        name: of the tensor, for errors.

    Returns:
        uint8 [n, row bytes].

    Raises:
        UsageError: the type is unknown, cols is not a multiple of its block, the importance does not fit the rows, or no
            engine is there for the type.
        CheckpointError: a weight is NaN or infinite, or too large for the type.
    """
    kind = _type(kind)
    rows = _readable(rows)
    count, cols = rows.shape
    out = np.empty((count, kind.row_bytes(cols)), np.uint8)
    threads = len(os.sched_getaffinity(0)) if threads is None else threads
    share = max(-(-count // max(1, threads)), -(-_SHARE // max(1, cols)), 1)
    if count <= share:
        quantize_into(rows, kind, out, importance, name=name)
        return out

    def work(first: int) -> None:
        part = slice(first, first + share)
        quantize_into(rows[part], kind, out[part], importance, first_row=first, name=name)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, count, share)))
    return out


def quantize_into(
    rows: Array,
    kind: str | Type,
    out: Array,
    importance: Array | None = None,
    *,
    first_row: int = 0,
    name: str = "weights",
) -> None:
    """Quantize rows on this thread into a buffer; the interpreter's lock is released, so that threads add up.

    Args:
        rows: as for `quantize`.
        kind: the ggml type or its name.
        out: uint8 [n, row bytes], contiguous; overwritten.
        importance: as for `quantize`.
        first_row: the number in the tensor of rows[0], for errors.
        name: of the tensor, for errors.

    Raises:
        UsageError, CheckpointError: as `quantize`.
    """
    kind = _type(kind)
    rows = _readable(rows)
    shape = (len(rows), kind.row_bytes(rows.shape[1]))
    if out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous uint8 {shape}, not {out.dtype} {out.shape}")
    if importance is not None:
        importance = _checked(importance, rows.shape[1], name)
    if not rows.size:
        return
    if not kind.weighted:
        importance = None
    outcome = choose.engine_for(kind, weighted=importance is not None).run(rows, kind, importance, out)
    if outcome is not Outcome.DONE:
        raise _bad_weights(rows, kind, outcome, first_row, name)


def _type(kind: str | Type) -> Type:
    return find(kind) if isinstance(kind, str) else kind


def _readable(rows: Array) -> Array:
    """Contiguous rows of a type that the engines read."""
    if rows.ndim != 2:
        raise ValueError(f"rows must have two dimensions, not {rows.ndim}")
    if rows.dtype not in DTYPES:
        rows = rows.astype(np.float32)
    return np.ascontiguousarray(rows)


def _checked(importance: Array, cols: int, name: str) -> Array:
    importance = np.ascontiguousarray(importance, np.float32)
    if importance.shape != (cols,):
        raise UsageError(
            f"{name}: the importance matrix has {importance.size} columns for rows of {cols}.",
            "It was made for another model; make it again for this one.",
        )
    if not (np.isfinite(importance).all() and (importance >= 0).all()):
        raise UsageError(
            f"{name}: the importance matrix holds values that are negative or not finite.",
            "Make it again, with float32 activations.",
        )
    return importance


def _bad_weights(rows: Array, kind: Type, outcome: Outcome, first_row: int, name: str) -> CheckpointError:
    values = to_float32(rows)
    if outcome is Outcome.NOT_FINITE:
        row, col = np.argwhere(~np.isfinite(values))[0]
        return CheckpointError(
            f"{name}: a weight is NaN or infinite (row {first_row + row}, column {col}).",
            "The checkpoint is damaged, or it was saved from a diverged training run; take another revision.",
        )
    what = "its scales are float16" if kind.quantized else "it ends below"
    return CheckpointError(
        f"{name}: weights of magnitudes up to {np.abs(values).max():.3g} do not fit {kind.name}: {what}.",
        "Store this tensor as bf16 or f32.",
    )

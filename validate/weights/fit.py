"""One weight of the artefact against its source tensor: how far off, and how far off it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...core.progress import Task
from .allowed import error_bound
from .openvino_ir import Match

Array = npt.NDArray[Any]
_OWN_ELEMENT = {"BF16": "bf16", "F16": "f16", "F32": "f32"}


@dataclass(frozen=True)
class Fit:
    """What comparing one weight found.

    Attributes:
        name: the tensor's name in the checkpoint.
        stored: how the artefact stores it, in words.
        rms: root mean square of the error over that of the source.
        expected_rms: what an error spread evenly inside the bound would have.
        worst: the largest error over what its element may have; above 1 the weight is wrong.
        over: share of the elements above their bound.
        rows_over: rows of the artefact that hold one.
        rows: of the artefact.
        not_finite: elements that are NaN or infinite.
        zero: every element is zero, and the source is not.
    """

    name: str
    stored: str
    rms: float
    expected_rms: float
    worst: float
    over: float
    rows_over: int
    rows: int
    not_finite: int
    zero: bool


def compare(name: str, match: Match, checkpoint: Checkpoint, task: Task) -> Fit:
    """Compare one weight with its tensor, a million elements at a time."""
    stored, info = match.stored, checkpoint.info(name)
    tensor = checkpoint.tensor(name)
    exact = stored.element == _OWN_ELEMENT.get(info.dtype) and not match.offset
    sums = Sums()
    for start, stop in stored.blocks():
        source = match.source_rows(tensor, start, stop)
        levels, scale = stored.levels(start, stop), stored.scale(start, stop)
        bound = error_bound(stored, levels, scale, source, exact=exact)
        if match.offset:
            bound = bound + np.float32(2.0**-8) * np.abs(
                source
            )  # 1 + w was rounded to the checkpoint's type by some exports
        if scale is not None:
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is counted
                levels *= scale
        sums.add(source, levels, bound)
        task.advance((info.end - info.start) * (stop - start) // max(stored.rows, 1))
    return sums.fit(name, describe(match), stored.rows)


def describe(match: Match) -> str:
    """Say how a weight is stored: "u4 in groups of 128", "i8, one scale a row", "bf16"."""
    stored = match.stored
    if not stored.scales:
        return stored.element
    levels = f"{stored.element} codebook" if stored.codebook is not None else stored.element
    if len(stored.stored_shape) > len(stored.shape):
        return f"{levels} in groups of {stored.stored_shape[-1]}"
    return f"{levels}, one scale a row"


class Sums:
    """What adds up over the blocks of one weight, of any format."""

    def __init__(self) -> None:
        self.square = self.source_square = self.bound_square = 0.0
        self.worst = 0.0
        self.over = self.rows_over = self.not_finite = self.size = 0
        self.zero = True

    def add(self, source: Array, held: Array, bound: Array) -> None:
        """Add a block: float32 arrays of one shape (the bound may broadcast to it); `held` is overwritten."""
        self.size += held.size
        self.zero = self.zero and not held.any()
        self.source_square += _square_sum(source)
        bad = held.size - int(np.count_nonzero(np.isfinite(held)))
        if bad:
            self.not_finite += bad
            held = np.nan_to_num(held, nan=0, posinf=0, neginf=0)
        held -= source
        error = np.abs(held, out=held)
        self.square += _square_sum(error)
        self.bound_square += _square_sum(bound) * (error.size / bound.size)
        over = error > bound
        if over.any():
            self.over += int(np.count_nonzero(over))
            self.rows_over += int(np.count_nonzero(over.reshape(len(over), -1).any(axis=1))) if over.ndim > 1 else 0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.divide(error, bound, out=error)
        self.worst = max(self.worst, float(np.nanmax(ratio, initial=0.0)))

    def fit(self, name: str, stored: str, rows: int) -> Fit:
        """Sum up; `stored` says how it is stored."""
        norm = math.sqrt(self.source_square)
        return Fit(
            name=name,
            stored=stored,
            rms=math.sqrt(self.square) / norm if norm else math.inf if self.square else 0.0,
            expected_rms=math.sqrt(self.bound_square / 3) / norm if norm else 0.0,
            worst=self.worst,
            over=self.over / max(self.size, 1),
            rows_over=self.rows_over,
            rows=rows,
            not_finite=self.not_finite,
            zero=self.zero and norm > 0,
        )


def _square_sum(values: Array) -> float:
    flat = np.ascontiguousarray(values).reshape(-1)
    return float(np.dot(flat, flat))

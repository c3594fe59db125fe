"""One weight of the artifact against its source tensor: how far off, and how far off it may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...core.dtypes import element_of
from ...core.progress import Task
from . import fits_native
from .allowed import LARGER, cut_off, error_bound
from .openvino_ir import Match

Array = npt.NDArray[Any]
_HELD = 16
"""Blocks whose pages stay in memory."""
GROUP, ROW, COLUMN = 5.0, 3.0, 6.0
"""Times the RMS error of rounding that GPTQ may leave; another row's values are 11 to 15 times."""
SLOPE = 5.0
"""Standard errors that a row's slope may be off."""
_ANY = 1e30
_TINY = np.float32(1e-30)


@dataclass(frozen=True)
class Fit:
    """What comparing one weight found.

    Attributes:
        name: the tensor's name in the checkpoint.
        stored: how the artifact stores it, in words.
        rms: root mean square of the error over that of the source.
        expected_rms: what an error spread evenly inside the bound would have.
        worst: the largest error over what its element may have; above 1 the weight is wrong.
        over: share of the elements above their bound.
        rows_over: rows of the artifact that hold one.
        rows: of the artifact.
        not_finite: elements that are NaN or infinite.
        zero: every element is zero, and the source is not.
        coarse: share of the elements that only a scale allows which is larger than the range of its group justifies.
        corrected: RMS of the error with what the graph adds, over that without it; None: it adds nothing.
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
    corrected: float | None = None
    coarse: float = 0.0


def compare(name: str, match: Match, checkpoint: Checkpoint, task: Task, methods: Sequence[str] = ()) -> Fit:
    """Compare one weight with its tensor, a million elements at a time.

    `methods` moved the weights of four bits and fewer (`moved.METHODS`): GPTQ lets each element make good what others lost, so
    that groups, rows and columns are held to their bounds, not elements; scale estimation chooses other scales.
    """
    stored, info = match.stored, checkpoint.info(name)
    tensor = checkpoint.tensor(name)
    exact = stored.element == element_of(info.dtype) and not match.form.function
    free = bool(stored.scales) and stored.element not in ("u8", "i8")
    spread = "gptq" in methods and free
    chosen = "scale_estimation" in methods and free and not spread
    sums = GroupSums() if spread else Sums()
    fast = None if chosen or spread else fits_native.compiled(match, tensor)
    shard = checkpoint.shard_of(name)
    for number, (start, stop) in enumerate(stored.blocks()):
        if number % _HELD == 0:
            shard.release(info.start, info.end)  # a table of embeddings would stay in memory else
        task.advance((info.end - info.start) * (stop - start) // max(stored.rows, 1))
        found = fast.block(start, stop) if fast else None
        if found:
            sums.take(found, stored.size // stored.rows * (stop - start))
            continue
        source = match.source_rows(tensor, start, stop)
        levels, scale = stored.levels(start, stop), stored.scale(start, stop)
        reach = LARGER if chosen else 1 + match.slack
        bound = error_bound(stored, levels, scale, source, exact=exact, reach=reach)
        if match.form.function:
            bound = bound + np.float32(2.0**-8) * np.abs(
                source
            )  # what was computed of it was rounded to the checkpoint's type by some exports
        if match.slack:
            bound = bound + np.float32(match.slack) * np.abs(source)
        plain = levels.copy() if chosen else levels
        if scale is not None:
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is counted
                levels *= scale
        if chosen:
            cut = cut_off(levels, source)
            coarse = error_bound(stored, plain, scale, source, exact=exact, reach=_ANY) + cut
            bound = sums.widened(np.abs(levels - source), bound + cut, coarse)
        if match.beside is not None:
            sums.add_beside(source, levels, match.beside[start:stop].reshape(source.shape))
        sums.add(source, levels, bound)
    shard.release(info.start, info.end)  # so would all of the checkpoint
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
        self.beside_square: float | None = None
        self.coarse = 0

    def widened(self, error: Array, bound: Array, coarse: Array) -> Array:
        """Return the bounds, with that of a group's own scale where an error is larger; count where only that allows it."""
        over = error > bound
        self.coarse += int(np.count_nonzero(over & (error <= coarse)))
        return np.where(over, coarse, bound)

    def add_beside(self, source: Array, held: Array, beside: Array) -> None:
        """Add a block's error with what the graph adds to it; arrays as for `add`, none is overwritten."""
        self.beside_square = (self.beside_square or 0.0) + _square_sum(held + beside - source)

    def take(self, found: Mapping[str, float], size: int) -> None:
        """Add a block of `size` elements that `fits_native` has compared."""
        self.size += size
        self.zero = self.zero and not found["largest"]
        self.square += found["square"]
        self.source_square += found["source_square"]
        self.bound_square += found["bound_square"]
        self.worst = max(self.worst, found["worst"])
        self.over += int(found["over"])
        self.rows_over += int(found["rows_over"])

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
        self._judge(error, bound)

    def _judge(self, error: Array, bound: Array) -> None:
        """Count what is too far off; `error` may be overwritten."""
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
            coarse=self.coarse / max(self.size, 1),
            corrected=None if self.beside_square is None else math.sqrt(self.beside_square / max(self.square, 1e-30)),
        )


class GroupSums(Sums):
    """What adds up where an element may be anywhere, but a group of a scale, a row and a column may not.

    The unit is the RMS error that an even spread inside the elements' bounds would have, which is that of rounding. A column that
    is zero throughout is one that GPTQ found without any input, and drops.

    An error that GPTQ left has no direction, whatever its size: the slope of a row, or of the whole, on its source is one, within
    the standard error that an error of that size has. So a row that is louder by a third shows, or all by a tenth.
    """

    def __init__(self) -> None:
        super().__init__()
        self._along = self._expected = self._own = 0.0
        self._columns: tuple[Array, Array] | None = None
        self._dead: Array | None = None

    def add(self, source: Array, held: Array, bound: Array) -> None:
        """As `Sums.add`, and remember which columns are zero."""
        alive: Array = np.asarray(held.reshape(len(held), -1).any(axis=0))
        dead: Array = np.logical_not(alive)
        self._dead = dead if self._dead is None else self._dead & dead
        self._slopes(source, held, bound, alive)
        super().add(source, held, bound)

    def _slopes(self, source: Array, held: Array, bound: Array, alive: Array) -> None:
        rows = len(held)
        flat, kept = source.reshape(rows, -1) * alive, np.nan_to_num(held.reshape(rows, -1), nan=0, posinf=0, neginf=0)
        along, own = np.einsum("ij,ij->i", kept - flat, flat), np.einsum("ij,ij->i", flat, flat)
        expected = np.broadcast_to(np.square(bound) / 3, source.shape).reshape(rows, -1).sum(1)
        self._along += float(along.sum())
        self._own += float(own.sum())
        self._expected += float(expected.sum())
        off = _steepness(along, own, expected, flat.shape[1])
        self.worst = max(self.worst, float(off.max(initial=0)))
        self.rows_over += int(np.count_nonzero(off > 1))
        self.over += int(np.count_nonzero(off > 1)) * flat.shape[1]

    def _judge(self, error: Array, bound: Array) -> None:
        squares, allowed = np.square(error), np.broadcast_to(np.square(bound) / 3, error.shape)
        rows = len(error)
        groups = np.sqrt(squares.mean(-1) / np.maximum(allowed.mean(-1), _TINY)).reshape(rows, -1) / GROUP
        flat, flat_allowed = squares.reshape(rows, -1), allowed.reshape(rows, -1)
        whole = np.sqrt(flat.mean(1) / np.maximum(flat_allowed.mean(1), _TINY)) / ROW
        bad = (groups > 1) | (whole > 1)[:, None]
        self.over += int(np.count_nonzero(bad)) * (error.size // bad.size)
        self.rows_over += int(np.count_nonzero(bad.any(axis=1)))
        self.worst = max(self.worst, float(groups.max(initial=0)), float(whole.max(initial=0)))
        sums = flat.sum(0), flat_allowed.sum(0)
        self._columns = sums if self._columns is None else (self._columns[0] + sums[0], self._columns[1] + sums[1])

    def fit(self, name: str, stored: str, rows: int) -> Fit:
        """Sum up, columns too."""
        if self._columns is not None and self._dead is not None:
            off = np.sqrt(self._columns[0] / np.maximum(self._columns[1], _TINY)) / COLUMN
            off = off[~self._dead]
            self.worst = max(self.worst, float(off.max(initial=0)))
            self.over = max(self.over, int(np.count_nonzero(off > 1)) * rows)
            whole = _steepness(np.array([self._along]), np.array([self._own]), np.array([self._expected]), self.size)
            self.worst = max(self.worst, float(whole[0]))
            if whole[0] > 1:
                self.over, self.rows_over = self.size, rows
        return super().fit(name, stored, rows)


def _steepness(along: Array, own: Array, expected: Array, count: int) -> Array:
    """Return by how much slopes differ from one, in what they may.

    Args:
        along: sums of error times source.
        own: sums of the source's squares.
        expected: sums of the squares of the error that rounding makes.
        count: elements of each sum.
    """
    share = np.sqrt(expected / np.maximum(own, _TINY))
    may = np.square(share) + SLOPE * ROW * share / np.sqrt(count)
    return np.asarray(np.abs(along) / np.maximum(own, _TINY) / np.maximum(may, _TINY))


def _square_sum(values: Array) -> float:
    flat = np.ascontiguousarray(values).reshape(-1)
    return float(np.dot(flat, flat))

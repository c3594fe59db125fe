"""The operations that vision encoders need beside those of texts (`ops.Ops`): grids, patches, and arithmetic on their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class PictureOps(Protocol[T]):
    """Those operations."""

    def convolution(self, states: T, name: str, step: int, *, bias: bool = True) -> T:
        """Convolve [n, in, rows, columns] without overlap by `name` [out, in, step, step]; add `name`.bias if it has one."""

    def flat_linear(self, hidden: T, name: str, bias: bool) -> T:
        """Multiply as `linear` does by a kernel [out, …], whose other dimensions lie in one."""

    def stored(self, name: str) -> T:
        """Return a stored tensor."""

    def reshape(self, states: T, shape: Sequence[int]) -> T:
        """Give another shape: 0 keeps the dimension of that place, -1 is what remains."""

    def transpose(self, states: T, order: Sequence[int]) -> T:
        """Give the dimensions another order."""

    def unsqueezed(self, states: T, axes: Sequence[int]) -> T:
        """Add dimensions of one at these places."""

    def taken(self, states: T, index: T, axis: int) -> T:
        """Take slices along an axis by their numbers, int64 of any shape."""

    def slices(self, states: T, axis: int, start: int, stop: int, step: int = 1) -> T:
        """Take every `step`-th slice along an axis; negative numbers count from its end."""

    def concat(self, parts: Sequence[T], axis: int) -> T:
        """Put parts one behind the other along an axis."""

    def pooled(self, grid: T, size: int) -> T:
        """Take the mean of each square of [n, width, rows, columns], without overlap."""

    def in_front(self, name: str, rows: T, width: int, start: T) -> T:
        """Put a stored row [width] in front of [n, rows, width]; `start` is the graph's input, [n, ...]."""

    def count(self, states: T) -> T:
        """Number the slices of the first axis from 0 on: int64 [n]."""

    def whole(self, values: Any) -> T:
        """Return a constant int64."""

    def floats(self, values: Any) -> T:
        """Return a constant float32."""

    def most(self, left: T, right: T) -> T:
        """Return the larger, value by value."""

    def least(self, left: T, right: T) -> T:
        """Return the smaller, value by value."""

    def truncated(self, values: T) -> T:
        """Return float32 values without what is behind the point, int64."""

    def inverse(self, order: T) -> T:
        """Return the order that undoes an order: int64 [n]."""

    def flags(self, truths: T) -> T:
        """Return bool as int64, 1 for true."""

    def real(self, numbers: T) -> T:
        """Return whole numbers as float32."""

    def minus(self, left: T, right: T) -> T:
        """Subtract."""

    def quotient(self, left: T, right: T) -> T:
        """Divide whole numbers that are not negative, without the rest."""

    def rest(self, left: T, right: T) -> T:
        """Return the rest of that division."""

    def sums(self, numbers: T) -> T:
        """Sum up from the first to each: int64 [n]."""

    def passed(self, numbers: T, ends: T) -> T:
        """Count how many of `ends` int64 [k] each of `numbers` int64 [n] reaches: int64 [n]."""

    def only_same(self, groups: T) -> T:
        """Compute what is added to scores where one sees those of its own group alone: int64 [n] to float32 [1, 1, n, n]."""

    def rows_of(self, grid: T, width: int) -> T:
        """[n, width, rows, columns] -> [n, rows * columns, width]."""

    def grid_of(self, rows: T, width: int, side: int) -> T:
        """[n, side * side, width] -> [n, width, side, side]."""

    def between(self, first: str, rows: T, last: str, width: int, start: T) -> T:
        """Put stored rows [1, 1, width] in front of and behind [n, rows, width]; `start` is the graph's input, [n, ...]."""

"""Experts' matrices as stacks, in whatever form a checkpoint has them: a tensor each, all in one, gate and up joined or in turns.

Parts of a matrix, gate and up in one, are seen as matrices of their own as well (`Part`).
A stack [experts, rows, columns] has a name as if it were stored (`program.experts.Stored`), and is read in ranges of rows
straight from the mapped files. Of biases, rows is 1.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..core.errors import CheckpointError
from .derived import Form
from .mapped_file import ITEM_SIZE, TensorInfo
from .program.experts import WOVEN, Stored

Array = npt.NDArray[Any]
_LAYER = re.compile(r"(model\.layers\.\d+\.)(.+)")


class Tensors(Protocol):
    """What is asked of the checkpoint that holds the parts."""

    def info(self, name: str) -> TensorInfo:
        """Describe a tensor. Raises CheckpointError if there is none of that name."""

    def file_of(self, name: str) -> str:
        """Return the name of the file that holds a tensor."""

    def tensor(self, name: str) -> Array:
        """Return a tensor as a view of its file."""

    def release(self, name: str, start: int, stop: int, count: int) -> None:
        """Give back the pages of parts [start, stop) of a tensor that has `count` of them."""


@dataclass(frozen=True)
class Source:
    """Where a role's matrices lie: a tensor for each expert, or `form` of one tensor for all."""

    names: tuple[str, ...]
    form: Form | None = None

    def info(self, checkpoint: Tensors, name: str) -> TensorInfo:
        """Describe the stack that these make. Raises CheckpointError if one is missing, or they are not alike."""
        infos = [checkpoint.info(one) for one in self.names]
        first = infos[0]
        odd = next((one for one in infos if (one.dtype, one.shape) != (first.dtype, first.shape)), None)
        if odd is not None:
            raise CheckpointError(
                f"{checkpoint.file_of(odd.name)}: {odd.name} is {odd.dtype} {list(odd.shape)}, {first.name} {first.dtype} "
                f"{list(first.shape)}: the experts of a layer must be alike.",
                "The checkpoint is damaged; download it again.",
            )
        shape = (len(infos), *first.shape) if self.form is None else self._cut(first.shape)
        if len(shape) == 2:
            shape = (shape[0], 1, shape[1])
        return TensorInfo(name, first.dtype, shape, 0, math.prod(shape) * ITEM_SIZE[first.dtype])

    def _cut(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        assert self.form is not None
        return self.form.cut(np.broadcast_to(np.int8(0), shape)).shape

    def expert(self, checkpoint: Tensors, number: int) -> Array:
        """Return the matrix of one expert, [rows, columns], as a view of its file."""
        if self.form is None:
            return checkpoint.tensor(self.names[number])
        matrix: Array = self.form.cut(checkpoint.tensor(self.names[0]))[number]
        return matrix if matrix.ndim == 2 else matrix[None]

    def release(self, checkpoint: Tensors, number: int, count: int) -> None:
        """Give back the pages of one of `count` experts."""
        if self.form is None:
            checkpoint.release(self.names[number], 0, 1, 1)
        else:
            checkpoint.release(self.names[0], number, number + 1, count)


@dataclass(frozen=True)
class Stack:
    """One stack; several sources are woven, a row of each in turn."""

    name: str
    sources: tuple[Source, ...]

    @property
    def names(self) -> Iterator[str]:
        """The tensors that it is made of."""
        return (name for source in self.sources for name in source.names)

    def info(self, checkpoint: Tensors) -> TensorInfo:
        """Describe it, as if it were stored. Raises CheckpointError as `Source.info`."""
        first, *others = (source.info(checkpoint, self.name) for source in self.sources)
        if any((one.dtype, one.shape) != (first.dtype, first.shape) for one in others):
            raise CheckpointError(f"{self.name} cannot be made: gate and up are not alike.", "Download it again.")
        woven = len(self.sources)
        turns = (1, woven) if first.shape[1] == 1 and self.name.endswith("bias") else (woven, 1)
        shape = (first.shape[0], first.shape[1] * turns[0], first.shape[2] * turns[1])
        return TensorInfo(self.name, first.dtype, shape, 0, first.bytes * woven)

    def rows(self, checkpoint: Tensors, start: int, stop: int) -> Array:
        """Return rows [start, stop) of all experts' rows, one expert's behind another's: [n, columns]."""
        each = self.info(checkpoint).shape[1]
        parts = []
        for number in range(start // each, -(-stop // each)):
            first, last = max(start - number * each, 0), min(stop - number * each, each)
            parts.append(self.expert(checkpoint, number, first, last))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def expert(self, checkpoint: Tensors, number: int, first: int, last: int) -> Array:
        """Return rows [first, last) of one expert."""
        matrices = [source.expert(checkpoint, number) for source in self.sources]
        if len(matrices) == 1:
            return matrices[0][first:last]
        if self.name.endswith("bias"):
            return np.stack(matrices, -1).reshape(1, -1)
        many = len(matrices)
        low, high = first // many, -(-last // many)
        woven = np.stack([matrix[low:high] for matrix in matrices], 1).reshape(-1, matrices[0].shape[1])
        return woven[first - low * many : last - low * many]

    def tensor(self, checkpoint: Tensors) -> Array:
        """Return all of it, as a copy."""
        shape = self.info(checkpoint).shape
        rows = self.rows(checkpoint, 0, shape[0] * shape[1])
        return np.ascontiguousarray(rows).reshape(shape)

    def release(self, checkpoint: Tensors, start: int, stop: int) -> None:
        """Give back the pages of the experts whose last row is among [start, stop)."""
        count, each, _ = self.info(checkpoint).shape
        for number in range(start // each, stop // each):
            for source in self.sources:
                source.release(checkpoint, number, count)


@dataclass(frozen=True)
class Part:
    """Some rows of a stored matrix, as if they were one.

    Attributes:
        name: that it has here.
        source: the matrix.
        form: which of its rows they are.
    """

    name: str
    source: str
    form: Form

    @property
    def names(self) -> Iterator[str]:
        """The tensor that it is of."""
        return iter([self.source])

    def info(self, checkpoint: Tensors) -> TensorInfo:
        """Describe it, as if it were stored. Raises CheckpointError if the matrix is missing, or cannot be parted so."""
        whole = checkpoint.info(self.source)
        if len(whole.shape) != 2 or whole.shape[0] % self.form.parts:
            raise CheckpointError(
                f"{checkpoint.file_of(self.source)}: {self.source} is {list(whole.shape)}, which has no {self.form.parts} "
                "equal parts.",
                "The checkpoint is damaged; download it again.",
            )
        rows = whole.shape[0] // self.form.parts
        return TensorInfo(self.name, whole.dtype, (rows, whole.shape[1]), 0, whole.bytes // self.form.parts)

    def tensor(self, checkpoint: Tensors) -> Array:
        """Return it as a view of its file."""
        return self.form.cut(checkpoint.tensor(self.source))

    def rows(self, checkpoint: Tensors, start: int, stop: int) -> Array:
        """Return rows [start, stop)."""
        return self.tensor(checkpoint)[start:stop]

    def release(self, checkpoint: Tensors, start: int, stop: int) -> None:
        """Give back the pages of these rows."""
        rows = self.info(checkpoint).shape[0]
        first = rows * self.form.part
        checkpoint.release(self.source, first + start, first + stop, rows * self.form.parts)


def parts(names: Collection[str], within: Mapping[str, tuple[str, Form]]) -> dict[str, Part]:
    """Return the parts of tensors of these names, by their own.

    `within`: name behind a layer's prefix → the tensor that it is part of, and which part.
    """
    prefixes = {found[1] for found in map(_LAYER.fullmatch, names) if found}
    return {
        prefix + name: Part(prefix + name, prefix + source, form)
        for prefix in prefixes
        for name, (source, form) in within.items()
        if prefix + source in names
    }


def iter_numbered(pattern: str, names: Collection[str]) -> Iterator[str]:
    """Give the names of a pattern, numbered from 0, up to the first that there is not."""
    return itertools.takewhile(names.__contains__, map(pattern.format, itertools.count()))


def joined(names: Collection[str], patterns: Mapping[str, str]) -> dict[str, Stack]:
    """Return the stacks that numbered tensors make, by their names: name → pattern."""
    parts = {name: tuple(iter_numbered(pattern, names)) for name, pattern in patterns.items()}
    return {name: Stack(name, (Source(found),)) for name, found in parts.items() if found}


def find(names: Collection[str], stored: Stored) -> dict[str, Stack]:
    """Return the stacks that tensors of these names make, by their names."""
    layers: dict[str, set[str]] = {}
    for name in names:
        if found_in := _LAYER.fullmatch(name):
            layers.setdefault(found_in[1], set()).add(found_in[2])
    found: dict[str, Stack] = {}
    for prefix, inside in layers.items():
        for kind, sources in (("weight", _matrices(prefix, inside, stored)), ("bias", _biases(prefix, inside, stored))):
            if {"gate", "up"} <= set(sources):
                found |= _stack(prefix + stored.stack(WOVEN, kind), sources["gate"], sources["up"])
            for role, source in sources.items():
                found |= _stack(prefix + stored.stack(role, kind), source)
    return found


def _stack(name: str, *sources: Source) -> dict[str, Stack]:
    return {name: Stack(name, sources)}


def _matrices(prefix: str, inside: Collection[str], stored: Stored) -> dict[str, Source]:
    found = _whole(prefix, inside, stored.whole)
    for role, pattern in stored.each.items():
        known = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d{1,6})"))
        numbers = [int(match[1]) for match in map(known.fullmatch, inside) if match]
        if numbers:
            found[role] = Source(tuple(prefix + pattern.format(number) for number in range(max(numbers) + 1)))
    return found


def _biases(prefix: str, inside: Collection[str], stored: Stored) -> dict[str, Source]:
    return _whole(prefix, inside, stored.bias)


def _whole(prefix: str, inside: Collection[str], table: Mapping[str, tuple[str, Form]]) -> dict[str, Source]:
    return {role: Source((prefix + name,), form) for role, (name, form) in table.items() if name in inside}

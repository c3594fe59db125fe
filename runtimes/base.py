"""What the validator asks of a runtime: one small interface, one file a runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from threading import Event
from typing import Any, Literal, Protocol

import numpy.typing as npt

from ..convert.program.vision import Arrays, Rows
from .layout import Layout

Chunk = int | Sequence[int] | None
"""Positions of a prefill's steps: one size for all, sizes that come round again and again, or None: all positions in one."""
Padding = Literal["left", "right", "none"]
"""Where the shorter rows of a batch are filled up; "none": rows of different lengths stand in it as they are."""


def steps(count: int, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Cut `count` positions into steps: pairs of start and stop."""
    sizes = cycle([chunk] if isinstance(chunk, int) else chunk or [max(1, count)])
    start = 0
    while start < count:
        stop = min(count, start + next(sizes))
        yield start, stop
        start = stop


def greedy(
    infer: Callable[[Sequence[int], int, npt.NDArray[Any] | None], npt.NDArray[Any]],
    ids: Sequence[int],
    count: int,
    stop: Sequence[int],
    embeddings: npt.NDArray[Any] | None = None,
) -> list[int]:
    """Continue greedily: at most `count` tokens, ending after the first of `stop`; the cache behind `infer` is empty.

    Args:
        infer: tokens, the positions before them, and embeddings in their place → logits float32 [n, vocab].
        ids: of the prompt.
        count: of tokens to make.
        stop: ids that end it.
        embeddings: float32 [n, hidden] in the place of the prompt's own.
    """
    made: list[int] = []
    logits, position = infer(ids, 0, embeddings), len(ids)
    while len(made) < count:
        made.append(int(logits[-1].argmax()))
        if made[-1] in stop:
            break
        logits = infer(made[-1:], position, None)
        position += 1
    return made


@dataclass(frozen=True)
class Step:
    """One token for every row of a batch whose cache is filled; `beams[r]` is the row whose cache row r goes on from."""

    tokens: Sequence[int]
    beams: Sequence[int] | None = None


@dataclass(frozen=True)
class Batch:
    """Logits of a batch.

    Attributes:
        rows: of each row's own positions, without its padding, float32 [n, vocab].
        steps: of each step, float32 [rows, vocab].
    """

    rows: list[npt.NDArray[Any]]
    steps: list[npt.NDArray[Any]]


class Runtime(Protocol):
    """A loaded artifact. Logits are float32 [n, vocab]; ids are token ids of the artifact's vocabulary."""

    name: str

    @property
    def paddings(self) -> tuple[Padding, ...]:
        """How it takes rows of different lengths; none, if it takes one row alone."""

    @property
    def beams(self) -> bool:
        """True if rows of the cache can change places by an input of the graph."""

    def logits(self, ids: Sequence[int], chunk: Chunk = None, first: int = 0) -> Iterator[npt.NDArray[Any]]:
        """Give the logits of every position from an empty cache.

        An array may be the runtime's own memory, which its next step overwrites; that of `decode` too.

        Args:
            ids: the tokens.
            chunk: positions of its steps.
            first: the position that the first token is said to have.
        """

    def batch(self, rows: Sequence[Sequence[int]], padding: Padding, then: Sequence[Step] = ()) -> Batch:
        """Run several rows at once from an empty cache, then single steps; steps need rows that are padded left, or not."""

    def decode(self, ids: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
        """Give the logits of every position [1, vocab], one token at a time through the cache."""

    def generate(self, ids: Sequence[int], count: int, stop: Sequence[int]) -> list[int]:
        """Continue greedily: at most `count` tokens, ending after the first of `stop`."""

    def close(self) -> None:
        """Give the memory back."""


class VisionLanguageRuntime(Protocol):
    """The language model of an artifact with a vision part, with its table of embeddings; as `Runtime`, on embeddings too.

    `embeddings`, float32 [n, hidden], stand in the place of the tokens' own: pictures are among them. `layout` says where the
    tokens stand, and what else the model takes of pictures; None: positions count the tokens, and all are words.
    """

    name: str

    def logits(
        self,
        ids: Sequence[int],
        chunk: Chunk = None,
        first: int = 0,
        embeddings: npt.NDArray[Any] | None = None,
        layout: Layout | None = None,
    ) -> Iterator[npt.NDArray[Any]]:
        """Give the logits of every position; a chunk must not end within a picture whose tokens see each other."""

    def generate(
        self,
        ids: Sequence[int],
        count: int,
        stop: Sequence[int],
        embeddings: npt.NDArray[Any] | None = None,
        layout: Layout | None = None,
    ) -> list[int]:
        """Continue greedily."""

    def embed(self, ids: Sequence[int]) -> npt.NDArray[Any]:
        """Look tokens up: float32 [n, hidden]."""

    def close(self) -> None:
        """Give the memory back."""


class Tower(Protocol):
    """The vision part of an artifact, which makes rows of embeddings of a picture."""

    def __call__(self, made: Arrays, stop: Event | None = None) -> Rows:
        """Return what a picture becomes.

        Args:
            made: what the model's processor makes of this one picture, as transformers names and shapes it for a batch of one:
                pixel_values and, where the model has it, image_grid_thw and so on.
            stop: breaks it off when set.

        Raises:
            StoppedError: `stop` was set.
        """

    def close(self) -> None:
        """Give the memory back."""

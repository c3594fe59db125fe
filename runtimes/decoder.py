"""A decoder with a cache of its own, and the one loop over it that the validator runs, whatever computes it.

An artifact of graphs is opened as a `Decoder`; the validator reads it through `DecoderRuntime`, a chat and a bench through
`cached.CachedDecoder`. llama.cpp keeps several sequences in contexts that are made for a length, and hands logits out row by row:
it implements the two interfaces itself (docs/decisions/0024-one-decoder.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Event
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .base import Batch, Chunk, Padding, Step, greedy, steps
from .layout import Layout
from .padding import run_batch

Array = npt.NDArray[Any]


class Decoder(Protocol):
    """A loaded decoder; that of a vision-language model, with its table of embeddings.

    Attributes:
        beams: rows of the cache can change places by an input of the graph.
    """

    beams: bool

    @property
    def masks(self) -> bool:
        """True if the graph takes an attention mask."""

    def empty(self, rows: int = 1) -> None:
        """Empty the cache, for a batch of so many rows."""

    def shorten(self, count: int) -> bool:
        """Keep the first positions of the cache, of which there may be fewer.

        False: a layer keeps a state, which knows no positions; the cache stays as it is.
        """

    def embed(self, ids: Array) -> Array:
        """Return what the decoder takes for ids int64 [batch, n]: float32 [batch, n, hidden] of its table, or the ids."""

    def read(
        self,
        given: Array,
        mask: Array,
        positions: Array,
        beams: Array,
        stop: Event | None = None,
        *,
        beside: Mapping[str, Array] | None = None,
    ) -> Array:
        """Read on behind what the cache holds.

        Args:
            given: as `embed` returns it.
            mask: int64 [batch, past + n], 1 where there is a token.
            positions: int64 [batch, n], the same on all axes where the graph has several, or [axes, batch, n].
            beams: int32 [batch]: the row whose cache each row goes on from, where there are `beams`.
            stop: breaks it off when set, within the time of an operator or a layer.
            beside: what the graph takes of pictures (`layout.BESIDE`); what is not there says that all are words.

        Returns:
            Logits float32 [batch, n, vocab], or of the last position alone if it was loaded so; they may be the runtime's own
            memory, which its next step overwrites.

        Raises:
            ArtifactError: the runtime fails.
            StoppedError: `stop` was set.
        """

    def close(self) -> None:
        """Give the memory back."""


def read_on(
    decoder: Decoder,
    given: Array,
    past: int,
    stop: Event | None = None,
    first: int | Array = 0,
    *,
    layout: Layout | None = None,
) -> Array:
    """Read one row on behind what the cache holds; return float32 [n, vocab].

    Args:
        decoder: that reads.
        given: as of `Decoder.read`.
        past: tokens in the cache.
        stop: as of `Decoder.read`.
        first: how much more the position of a token is than the number of those before it; int64 [axes] on each axis.
        layout: of what is given, where there are pictures; it has the positions then.
    """
    total = past + given.shape[1]
    counted = np.asarray(first, np.int64)[..., None] + np.arange(past, total)
    positions = (counted if layout is None else layout.positions)[..., None, :]
    beside = None if layout is None else layout.beside()
    mask, beams = np.ones((1, total), np.int64), np.zeros(1, np.int32)
    logits: Array = decoder.read(given, mask, positions, beams, stop, beside=beside)[0]
    return logits


class DecoderRuntime:
    """Implements `base.Runtime` and `base.SeeingRuntime` over a decoder."""

    def __init__(self, decoder: Decoder, name: str) -> None:
        """Take a loaded decoder, and what the runtime is called."""
        self._decoder, self.name = decoder, name

    @property
    def beams(self) -> bool:
        """As the decoder."""
        return self._decoder.beams

    @property
    def paddings(self) -> tuple[Padding, ...]:
        """Both sides, for a graph that takes a mask."""
        return ("left", "right") if self._decoder.masks else ()

    def logits(
        self,
        ids: Sequence[int],
        chunk: Chunk = None,
        first: int = 0,
        embeddings: Array | None = None,
        layout: Layout | None = None,
    ) -> Iterator[Array]:
        """Give the logits from an empty cache.

        Args:
            ids: the tokens.
            chunk: positions of its steps.
            first: position of the first token.
            embeddings: float32 [n, hidden] to take instead of the tokens' own, of a vision-language model.
            layout: of the tokens, where there are pictures.
        """
        self._decoder.empty()
        for start, stop in steps(len(ids), chunk):
            part = slice(start, stop)
            laid = None if layout is None else layout.part(start, stop)
            yield self._infer(ids[part], start, None if embeddings is None else embeddings[part], first, laid)

    def batch(self, rows: Sequence[Sequence[int]], padding: Padding, then: Sequence[Step] = ()) -> Batch:
        """Run several rows at once; `beams` of a step are left to who keeps the cache, if it is not the graph."""
        self._decoder.empty(len(rows))
        return run_batch(lambda ids, *rest: self._decoder.read(self._decoder.embed(ids), *rest), rows, padding, then)

    def decode(self, ids: Sequence[int]) -> Iterator[Array]:
        """Give the logits one token at a time."""
        return self.logits(ids, 1)

    def generate(
        self,
        ids: Sequence[int],
        count: int,
        stop: Sequence[int],
        embeddings: Array | None = None,
        layout: Layout | None = None,
    ) -> list[int]:
        """Continue greedily; `embeddings` and `layout` as in `logits`."""
        self._decoder.empty()
        shift: int | Array = layout.shift if layout else 0

        def infer(ids: Sequence[int], past: int, given: Array | None) -> Array:
            return self._infer(ids, past, given, shift, None if past else layout)

        return greedy(infer, ids, count, stop, embeddings)

    def embed(self, ids: Sequence[int]) -> Array:
        """Look tokens up in the table of a vision-language model: float32 [n, hidden]."""
        rows: Array = self._decoder.embed(_row(ids))[0]
        return rows

    def close(self) -> None:
        """Drop the decoder's models."""
        self._decoder.close()

    def _infer(
        self,
        ids: Sequence[int],
        past: int,
        embeddings: Array | None = None,
        first: int | Array = 0,
        layout: Layout | None = None,
    ) -> Array:
        given = self._decoder.embed(_row(ids)) if embeddings is None else embeddings[None]
        return read_on(self._decoder, given, past, first=first, layout=layout)


def _row(ids: Sequence[int]) -> Array:
    return np.array([list(ids)], np.int64)

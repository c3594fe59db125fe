"""llama.cpp as a model with a cache that knows what it holds; with pictures where a mmproj is beside it.

Rows of pictures stay in llama.cpp: what stands for them here is the number of their picture, in the place of each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from threading import Event

import numpy as np

from ..convert.program.vision import PIXELS, Arrays, Rows
from .cached import NO_PLACEHOLDER, Array, Cached, Picture, StoppedError
from .layout import Layout
from .llama_cpp import BATCH, LlamaCppRuntime
from .llama_cpp_tower import Tower


class _Growing(LlamaCppRuntime):
    """A context that is made anew, and larger, where a conversation outgrows it."""

    def holds(self, positions: int) -> bool:
        """Tell whether there is room for so many."""
        return self._context is not None and positions <= self._room

    def open(self, positions: int) -> None:
        """Empty the cache, of room for so many positions and, unless a longer one is another model, as many again."""
        self._start(positions if self._switch else 2 * positions)

    def clear(self) -> None:
        """Empty the cache."""
        if self._context is not None:
            self._context.kv_cache_clear()

    def shorten(self, count: int) -> bool:
        """Keep the first positions; False if this model's cache cannot be cut there."""
        return bool(self._context.memory_seq_rm(0, count, -1))

    def read(self, ids: Sequence[int], past: int) -> None:
        """Read on behind `past` positions."""
        self._decode(ids, past, every=False)

    def see(self, tower: Tower, number: int, past: int) -> None:
        """Read a picture of the tower's."""
        tower.read(self._context, number, past)

    def last(self) -> Array:
        """Return the logits behind the last token, float32 [vocab]."""
        return np.array(self._context.get_logits_ith(-1), np.float32)

    def tower(self, path: Path, projector: Path) -> Tower:
        """Load the vision part. Raises ArtifactError."""
        return Tower(path, projector, self._model)


class CachedLlama(Cached):
    """One GGUF, with llama.cpp's defaults: a float16 cache and flash attention."""

    def __init__(
        self, path: Path, projector: Path | None = None, placeholder: int = NO_PLACEHOLDER, *, answer: int
    ) -> None:
        """Load the language model; the tower only once a picture is there.

        Args:
            path: the file; of a split one the first part.
            projector: its mmproj.
            placeholder: the token of which a prompt holds one for each row of a picture.
            answer: tokens that an answer has at most: there will be room for them.

        Raises:
            ArtifactError: llama.cpp does not load it.
        """
        super().__init__(placeholder)
        self._path, self._projector, self._answer = path, projector, answer
        self._runtime = _Growing(path, accurate=False)
        self._tower: Tower | None = None
        self._shown: list[tuple[int, int]] = []
        """Of each picture in the cache the number of tokens before it, and its own number."""

    def prefill(self, ids: Sequence[int], pictures: Sequence[Picture], stop: Event) -> Array:
        """Read a prompt, as far as the cache does not hold it. As `Cached.prefill`, with room for the answer behind it."""
        needed = len(ids) + self._answer
        if not self._cached or not self._runtime.holds(needed):
            self.clear()
            self._runtime.open(needed)
        return super().prefill(ids, pictures, stop)

    def forget_pictures(self) -> None:
        """Let go of the pictures of a conversation that is over."""
        if self._tower:
            self._tower.forget()

    def close(self) -> None:
        """Give the memory back; the tower first, which points into the model."""
        if self._tower:
            self._tower.close()
        self._runtime.close()

    def _embed(self, ids: Array) -> Array:
        return ids[None].copy()

    def _infer(self, given: Array, past: int, stop: Event | None, layout: Layout | None) -> Array:
        for number, run in groupby(given[0].tolist(), key=lambda one: min(one, 0)):
            ids = list(run)
            if number == 0:
                self._read(ids, self._position(past), stop)
            else:
                assert self._tower
                _heed(stop)
                self._runtime.see(self._tower, number, self._position(past))
                self._shown.append((past, number))
            past += len(ids)
        return self._runtime.last()

    def _position(self, count: int) -> int:
        """Return the position of the token behind `count`."""
        inside = [number for before, number in self._shown if before < count]
        return count - sum(self._tower.tokens(one) - self._tower.positions(one) for one in inside if self._tower)

    def _read(self, ids: Sequence[int], past: int, stop: Event | None) -> None:
        for offset in range(0, len(ids), BATCH):
            _heed(stop)
            self._runtime.read(ids[offset : offset + BATCH], past + offset)

    def _shorten(self, count: int) -> bool:
        if count == 0:
            self._runtime.clear()
        elif not self._runtime.shorten(self._position(count)):
            return False
        self._shown = [one for one in self._shown if one[0] < count]
        return True

    def _look(self, made: Arrays, stop: Event) -> Rows:
        """Hand a picture to the tower, its pixels as uint8; the rows are its number once for each token, int64 [k]."""
        assert self._projector
        _heed(stop)
        if self._tower is None:
            self._tower = self._runtime.tower(self._path, self._projector)
        number, rows = self._tower.take(made[PIXELS])
        return Rows(np.full(rows, number, np.int64))


def _heed(stop: Event | None) -> None:
    if stop is not None and stop.is_set():
        raise StoppedError

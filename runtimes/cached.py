"""A language model with a cache that knows what it holds, whatever runs it.

Whatever a prompt has in common with the cache is not computed again. A placeholder in the cache stands for a row of one
picture, so a position is remembered by its id, or by the picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ArtifactError
from .base import Tower
from .decoder import Decoder, read_on

Array = npt.NDArray[Any]
NO_PLACEHOLDER = -1
"""Of a model that takes no pictures."""


class StoppedError(Exception):
    """A long inference was stopped on demand; the cache is empty after it."""


class Picture:
    """A picture of a conversation: its pixels until it was seen, its rows from then on.

    Attributes:
        pixels: float32 [1, 3, S, S].
        rows: float32 [k, hidden].
    """

    def __init__(self, pixels: Array) -> None:
        self.pixels: Array | None = pixels
        self.rows: Array | None = None


class Cached(ABC):
    """A loaded model that reads on from where the last prompt, or token, has ended."""

    def __init__(self, placeholder: int = NO_PLACEHOLDER) -> None:
        """Begin with an empty cache.

        Args:
            placeholder: the token in whose places the rows of pictures stand.
        """
        self._placeholder = placeholder
        self._cached: list[int | Picture] = []

    def clear(self) -> None:
        """Empty the cache."""
        self._keep(0)

    def prefill(self, ids: Sequence[int], pictures: Sequence[Picture], stop: Event) -> Array:
        """Read a prompt, as far as the cache does not hold it.

        Args:
            ids: of the whole prompt.
            pictures: in the order of their placeholders, of which there are as many as the tower makes rows.
            stop: ends it early when set.

        Returns:
            Logits of the next token, float32 [vocab].

        Raises:
            ArtifactError: the tower makes another number of rows than there are placeholders.
            StoppedError: `stop` was set.
        """
        prompt = np.asarray(ids, np.int64)
        is_row = prompt == self._placeholder
        rows = [self.see(picture, stop) for picture in pictures]
        if sum(map(len, rows)) != is_row.sum():
            raise ArtifactError(
                f"The tower makes {sum(map(len, rows))} rows, the prompt has {is_row.sum()} placeholders.",
                "Convert the checkpoint again.",
            )
        owners = iter([picture for picture, its in zip(pictures, rows, strict=True) for _ in its])
        wanted = [next(owners) if token == self._placeholder else token for token in ids]
        start = min(_common(self._cached, wanted), len(wanted) - 1)  # the last one is read again, for its logits
        start = self._keep(start)
        given = self._embed(prompt[start:])
        if is_row[start:].any():
            given[0, is_row[start:]] = np.concatenate(rows)[is_row[:start].sum() :]
        return self._forward(given, wanted[start:], stop)

    def step(self, token: int) -> Array:
        """Read one more token; return the logits of the next, float32 [vocab]."""
        return self._forward(self._embed(np.array([token], np.int64)), [token], None)

    def greedy(self, ids: Sequence[int], count: int, stop: Container[int], *, keep: bool = False) -> list[int]:
        """Continue a prompt greedily: at most `count` tokens, ending after the first of `stop`; `keep` the cache there is."""
        if not keep:
            self.clear()
        logits = self.prefill(ids, [], Event())
        made = [self._choose(logits, ids)]
        while len(made) < count and made[-1] not in stop:
            made.append(self._choose(self.step(made[-1]), [*ids, *made]))
        return made

    def _choose(self, logits: Array, read: Sequence[int]) -> int:
        """Return the token of the best logit; `read` is what stands before it."""
        return int(logits.argmax())

    def see(self, picture: Picture, stop: Event) -> Array:
        """Return a picture's rows, float32 [k, hidden]; the tower runs once for each. Raises StoppedError."""
        if picture.rows is None:
            assert picture.pixels is not None
            picture.rows = self._look(picture.pixels, stop)
            picture.pixels = None
        return picture.rows

    def _forward(self, given: Array, new: Sequence[int | Picture], stop: Event | None) -> Array:
        before, self._cached = self._cached, []  # of a failed inference nothing is known
        logits = self._infer(given, len(before), stop)
        self._cached = [*before, *new]
        return logits

    def _keep(self, count: int) -> int:
        """Shorten the cache to its first positions, to none if it cannot be shortened; return how many are left."""
        if (count == 0 or count < len(self._cached)) and not self._shorten(count):
            count = 0
            self._shorten(count)
        self._cached = self._cached[:count]
        return count

    @abstractmethod
    def _embed(self, ids: Array) -> Array:
        """Return what the model takes for ids int64 [n]: embeddings float32 [1, n, hidden] of its own, or ids [1, n]."""

    @abstractmethod
    def _infer(self, given: Array, past: int, stop: Event | None) -> Array:
        """Read on behind `past` positions; return the logits of the last one, float32 [vocab]. Raises StoppedError."""

    @abstractmethod
    def _shorten(self, count: int) -> bool:
        """Keep the first positions of the cache, of which there may be fewer; 0 empties it, whatever is in it.

        False: it cannot be shortened, and stays as it is.
        """

    @abstractmethod
    def _look(self, pixels: Array, stop: Event) -> Array:
        """Run the tower on float32 [1, 3, S, S]: float32 [k, hidden]. Raises StoppedError."""


class CachedDecoder(Cached):
    """A decoder, and the tower beside it once a picture is there."""

    def __init__(self, decoder: Decoder, open_tower: Callable[[], Tower], placeholder: int = NO_PLACEHOLDER) -> None:
        """Take a loaded decoder.

        Args:
            decoder: that gives the logits of every position, or of the last one alone.
            open_tower: loads the vision part.
            placeholder: as of `Cached`.
        """
        super().__init__(placeholder)
        self._decoder, self._open_tower = decoder, open_tower
        self._tower: Tower | None = None
        decoder.empty()

    def close(self) -> None:
        """Give the memory back."""
        self._decoder.close()
        if self._tower:
            self._tower.close()

    def _embed(self, ids: Array) -> Array:
        return self._decoder.embed(ids[None])

    def _infer(self, given: Array, past: int, stop: Event | None) -> Array:
        last: Array = read_on(self._decoder, given, past, stop)[-1].astype(np.float32)
        return last

    def _shorten(self, count: int) -> bool:
        if count:
            return self._decoder.shorten(count)
        self._decoder.empty()
        return True

    def _look(self, pixels: Array, stop: Event) -> Array:
        if self._tower is None:
            self._tower = self._open_tower()
        return self._tower(pixels[0], stop)


def _common(left: Sequence[int | Picture], right: Sequence[int | Picture]) -> int:
    """Count the positions at the beginning that are equal."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))

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

from ..convert.program.vision import PIXELS, Arrays, Rows, Vision
from ..core.errors import ArtifactError
from .base import Tower
from .decoder import Decoder, read_on
from .layout import Layout, lay_out

Array = npt.NDArray[Any]
NO_PLACEHOLDER = -1
"""Of a model that takes no pictures."""


class StoppedError(Exception):
    """A long inference was stopped on demand; the cache is empty after it."""


class Picture:
    """A picture of a conversation: its pixels until it was seen, its rows from then on.

    Attributes:
        made: what the processor made of it; once it was seen without the largest, its pixels.
        written: what stands for it in a prompt, where the chat template does not write that itself.
        rows: what the tower made of it.
    """

    def __init__(self, made: Arrays, written: str = "") -> None:
        self.made = dict(made)
        self.written = written
        self.rows: Rows | None = None

    def see(self, look: Callable[[Arrays], Rows]) -> Rows:
        """Return its rows, for which `look` is asked once."""
        if self.rows is None:
            self.rows = look(self.made)
            self.made.pop(PIXELS, None)
        return self.rows


class Cached(ABC):
    """A loaded model that reads on from where the last prompt, or token, has ended."""

    def __init__(self, placeholder: int = NO_PLACEHOLDER, vision: Vision | None = None) -> None:
        """Begin with an empty cache.

        Args:
            placeholder: the token in whose places the rows of pictures stand.
            vision: the encoder, which knows how a prompt with pictures is laid out; None: tokens are counted.
        """
        self._placeholder = placeholder
        self._vision = vision
        self._cached: list[int | Picture] = []
        self._shift: int | Array = 0
        """How much more the position of the next token is than the number of those before it, on all axes or each."""

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
        seen = [self.see(picture, stop) for picture in pictures]
        rows = [one.rows for one in seen]
        if sum(map(len, rows)) != is_row.sum():
            raise ArtifactError(
                f"The tower makes {sum(map(len, rows))} rows, the prompt has {is_row.sum()} placeholders.",
                "Convert the checkpoint again.",
            )
        laid = lay_out(self._vision, ids, [one.made for one in pictures], seen) if self._vision and pictures else None
        owners = iter([picture for picture, its in zip(pictures, rows, strict=True) for _ in its])
        wanted = [next(owners) if token == self._placeholder else token for token in ids]
        start = self._keep(_start(self._cached, wanted))
        given = self._embed(prompt[start:])
        if is_row[start:].any():
            given[0, is_row[start:]] = np.concatenate(rows)[is_row[:start].sum() :]
        self._shift = laid.shift if laid else 0
        return self._forward(given, wanted[start:], stop, laid.part(start) if laid else None)

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

    def see(self, picture: Picture, stop: Event) -> Rows:
        """Return a picture's rows; the tower runs once for each. Raises StoppedError."""
        return picture.see(lambda made: self._look(made, stop))

    def _forward(
        self, given: Array, new: Sequence[int | Picture], stop: Event | None, layout: Layout | None = None
    ) -> Array:
        before, self._cached = self._cached, []  # of a failed inference nothing is known
        logits = self._infer(given, len(before), stop, layout)
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
    def _infer(self, given: Array, past: int, stop: Event | None, layout: Layout | None) -> Array:
        """Read on behind `past` tokens; return the logits of the last one, float32 [vocab]. Raises StoppedError."""

    @abstractmethod
    def _shorten(self, count: int) -> bool:
        """Keep the first positions of the cache, of which there may be fewer; 0 empties it, whatever is in it.

        False: it cannot be shortened, and stays as it is.
        """

    @abstractmethod
    def _look(self, made: Arrays, stop: Event) -> Rows:
        """Run the tower on what the processor made of a picture. Raises StoppedError."""


class CachedDecoder(Cached):
    """A decoder, and the tower beside it once a picture is there."""

    def __init__(self, decoder: Decoder, open_tower: Callable[[], Tower], vision: Vision | None = None) -> None:
        """Take a loaded decoder.

        Args:
            decoder: that gives the logits of every position, or of the last one alone.
            open_tower: loads the vision part.
            vision: the vision part; None: there is none.
        """
        super().__init__(vision.placeholder if vision else NO_PLACEHOLDER, vision)
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

    def _infer(self, given: Array, past: int, stop: Event | None, layout: Layout | None) -> Array:
        logits = read_on(self._decoder, given, past, stop, self._shift, layout=layout)
        last: Array = logits[-1].astype(np.float32)
        return last

    def _shorten(self, count: int) -> bool:
        if count:
            return self._decoder.shorten(count)
        self._decoder.empty()
        return True

    def _look(self, made: Arrays, stop: Event) -> Rows:
        if self._tower is None:
            self._tower = self._open_tower()
        return self._tower(made, stop)


def _start(cached: Sequence[int | Picture], wanted: Sequence[int | Picture]) -> int:
    """Return where to read on: behind what both have in common, but before the last, for its logits, and within no picture.

    The tokens of a picture may see each other, and are read in one step.
    """
    start = min(_common(cached, wanted), len(wanted) - 1)
    while start and isinstance(wanted[start], Picture) and wanted[start] is wanted[start - 1]:
        start -= 1
    return start


def _common(left: Sequence[int | Picture], right: Sequence[int | Picture]) -> int:
    """Count the positions at the beginning that are equal."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))

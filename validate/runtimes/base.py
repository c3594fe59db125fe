"""What the validator asks of a runtime: one small interface, one file a runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy.typing as npt


class Runtime(Protocol):
    """A loaded artefact. Logits are float32 [n, vocab]; ids are token ids of the artefact's vocabulary."""

    name: str

    def logits(self, ids: Sequence[int], chunk: int | None = None) -> Iterator[npt.NDArray[Any]]:
        """Give the logits of every position from an empty cache, `chunk` positions at a time (None: all in one prefill).

        An array may be the runtime's own memory, which its next step overwrites; that of `decode` too.
        """

    def decode(self, ids: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
        """Give the logits of every position [1, vocab], one token at a time through the cache."""

    def generate(self, ids: Sequence[int], count: int, stop: Sequence[int]) -> list[int]:
        """Continue greedily: at most `count` tokens, ending after the first of `stop`."""

    def close(self) -> None:
        """Give the memory back."""


class SeeingRuntime(Protocol):
    """The language half of an artefact that sees, with its table of embeddings; as `Runtime`, on embeddings too.

    `embeddings`, float32 [n, hidden], stand in the place of the tokens' own: pictures are among them.
    """

    name: str

    def logits(
        self, ids: Sequence[int], chunk: int | None = None, embeddings: npt.NDArray[Any] | None = None
    ) -> Iterator[npt.NDArray[Any]]:
        """Give the logits of every position."""

    def generate(
        self, ids: Sequence[int], count: int, stop: Sequence[int], embeddings: npt.NDArray[Any] | None = None
    ) -> list[int]:
        """Continue greedily."""

    def embed(self, ids: Sequence[int]) -> npt.NDArray[Any]:
        """Look tokens up: float32 [n, hidden]."""

    def close(self) -> None:
        """Give the memory back."""

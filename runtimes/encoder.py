"""What the validator asks of an encoder's runtime, and how texts of different lengths become one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..convert.program.encoder import IDS, MASK, STATES, TYPES

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Text:
    """A text, or a pair of texts, in tokens.

    Attributes:
        ids: with the tokens around it.
        kinds: of each token, 0 or 1 for those of a pair's second text; where the model tells them apart.
    """

    ids: Sequence[int]
    kinds: Sequence[int] = ()


class EncoderRuntime(Protocol):
    """A loaded encoder."""

    name: str

    def run(self, texts: Sequence[Text]) -> list[Array]:
        """Run texts in one batch, the shorter ones filled up: of each the states float32 [n, width], or the scores [labels]."""

    def close(self) -> None:
        """Give the memory back."""


class GraphEncoder:
    """An encoder that is a graph with the inputs and the output of optimum's exports."""

    def __init__(
        self, name: str, inputs: Sequence[str], output: str, infer: Callable[[dict[str, Array]], Array]
    ) -> None:
        """Take what runs it.

        Args:
            name: of the runtime.
            inputs: that the graph has.
            output: its name.
            infer: inputs → the output.
        """
        self.name = name
        self.output = output
        self._inputs, self._infer = set(inputs), infer

    def run(self, texts: Sequence[Text]) -> list[Array]:
        """As `EncoderRuntime` says; what fills a row up is the token 0, which the mask hides."""
        longest = max(len(text.ids) for text in texts)
        feed = {name: np.zeros((len(texts), longest), np.int64) for name in (IDS, MASK, TYPES)}
        for row, text in enumerate(texts):
            feed[IDS][row, : len(text.ids)] = text.ids
            feed[MASK][row, : len(text.ids)] = 1
            feed[TYPES][row, : len(text.kinds)] = text.kinds
        made = self._infer({name: value for name, value in feed.items() if name in self._inputs})
        if self.output != STATES:
            return [np.array(row, np.float32) for row in made]
        return [np.array(row[: len(text.ids)], np.float32) for row, text in zip(made, texts, strict=True)]

    def close(self) -> None:
        """Drop the graph."""
        self._infer = _closed


def _closed(feed: dict[str, Array]) -> Array:
    raise ValueError("the runtime was closed")

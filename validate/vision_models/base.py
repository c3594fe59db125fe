"""What a reference that sees is asked, whichever model it is of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ...convert.program.vision import Arrays, Rows
from ..multimodal.conversations import Conversation
from ..multimodal.processor import Made
from ..passes import PassResult

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class EncodedPictures:
    """What the vision part made of a conversation's pictures.

    Attributes:
        rows: of all of them, in their order.
        kept: what else the reference needs to go on from there.
    """

    rows: Rows
    kept: Any = None


class VisionLanguageReference(ABC):
    """A reference: the checkpoint's processor, and torch on its weights or on the artifact's own (`own`), in float32."""

    @abstractmethod
    def process(self, conversation: Conversation) -> Made:
        """Return ids and arrays. Raises CheckpointError if the checkpoint's files make none."""

    @abstractmethod
    def pixels(self, picture: Any) -> Arrays:
        """Return what the vision part takes of a picture of PIL alone. Raises CheckpointError if it cannot be prepared."""

    @abstractmethod
    def look(self, prompts: Sequence[Made], *, own: bool) -> list[EncodedPictures]:
        """Run the vision part."""

    @abstractmethod
    def entering(self, prompts: Sequence[Made], encoded: Sequence[EncodedPictures], *, own: bool) -> list[Array]:
        """Return what enters the language model for each prompt, float32 [n, hidden]."""

    @abstractmethod
    def positions(self, prompt: Made) -> Array:
        """Return the positions of a prompt's tokens, int64 [n], or [axes, n]."""

    def words(self, ids: Sequence[int]) -> list[int]:
        """Return an answer up to where it holds a token that stands for a picture, which no reference can read."""
        return list(ids)

    @abstractmethod
    def read(
        self,
        prompts: Sequence[Made],
        answers: Sequence[Sequence[int]],
        encoded: Sequence[EncodedPictures],
        *,
        own: bool,
    ) -> PassResult:
        """Run the language model over each prompt and the answer behind it."""

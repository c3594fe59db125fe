"""The reference of any vision-language model of transformers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ...convert.program.vision import Arrays
from ..multimodal.conversations import Conversation, Turn
from ..multimodal.features import Seen
from ..multimodal.processor import Made, Processor
from ..passes import PassResult, TorchPasses
from .base import EncodedPictures, VisionLanguageReference

Array = npt.NDArray[Any]


class TransformersReference(VisionLanguageReference):
    """transformers' processor, vision part, and language model."""

    def __init__(self, passes: TorchPasses) -> None:
        """Open the processor of the passes' checkpoint. Raises as `Processor`."""
        self._passes = passes
        self._processor = Processor(passes.pair.checkpoint.folder)

    def process(self, conversation: Conversation) -> Made:
        """Process the conversation."""
        return self._processor(conversation.turns)

    def pixels(self, picture: Any) -> Arrays:
        """Process a conversation of this picture."""
        return self._processor([Turn("user", "?", (picture,))]).pixels

    def look(self, prompts: Sequence[Made], *, own: bool) -> list[EncodedPictures]:
        """Run the vision part over each prompt's pictures together."""
        found = self._passes.see([one.arrays for one in prompts], own=own)
        return [
            EncodedPictures(made.rows, Seen(prompt.arrays, made)) for prompt, made in zip(prompts, found, strict=True)
        ]

    def entering(self, prompts: Sequence[Made], encoded: Sequence[EncodedPictures], *, own: bool) -> list[Array]:
        """Let transformers' model put the rows among the words."""
        return self._passes.entering([one.ids for one in prompts], [one.kept for one in encoded], own=own)

    def positions(self, prompt: Made) -> Array:
        """Ask transformers' model."""
        made: Array = self._passes.positions(prompt.ids, prompt.arrays)
        return made

    def words(self, ids: Sequence[int]) -> list[int]:
        """Cut at the tokens that config.json names."""
        config = self._passes.pair.checkpoint.config
        apart = {config.get(f"{what}_token_id") for what in ("image", "video", "audio")}
        return list(itertools.takewhile(lambda token: token not in apart, ids))

    def read(
        self,
        prompts: Sequence[Made],
        answers: Sequence[Sequence[int]],
        encoded: Sequence[EncodedPictures],
        *,
        own: bool,
    ) -> PassResult:
        """Run transformers' model."""
        documents = [[*prompt.ids, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        return self._passes.behind(documents, [one.kept for one in encoded], own=own)

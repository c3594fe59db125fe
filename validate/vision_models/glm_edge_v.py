"""The eyes of GLM-Edge-V, which transformers does not have: its own tower here, its pictures by the processor that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.families import glm_edge_v_model as glm_edge_v
from ...convert.program.vision import Arrays, Rows
from ...core.picture_task import upright_rgb
from ...runtimes.splice import splice
from ..checks import pixels
from ..multimodal.conversations import Conversation
from ..multimodal.processor import Made
from ..passes import PassResult, TorchPasses
from .base import EncodedPictures, VisionLanguageReference

Array = npt.NDArray[Any]
PIXELS = "pixel_values"


class GlmEdgeVReference(VisionLanguageReference):
    """The tower of `vision_reference`, and GLM over embeddings in which pictures stand."""

    def __init__(self, passes: TorchPasses) -> None:
        """Open the processor of the passes' checkpoint. Raises CheckpointError."""
        self._passes = passes
        folder = passes.pair.checkpoint.folder
        self._whole = glm_edge_v.load_processor(folder)
        self._pixels = pixels.mllama(folder)

    def process(self, conversation: Conversation) -> Made:
        """Render and encode; the template writes the placeholders."""
        messages = [turn.message for turn in conversation.turns]
        text = self._whole.apply_chat_template(messages, add_generation_prompt=True)
        made = [self.pixels(picture)[PIXELS] for picture in conversation.pictures]
        return Made(list(self._whole.tokenizer(text)["input_ids"]), {PIXELS: np.concatenate(made)})

    def pixels(self, picture: Any) -> Arrays:
        """Ask transformers' processor of Mllama: float32 [1, 3, S, S]."""
        return {PIXELS: self._pixels(upright_rgb(picture))[None]}

    def look(self, prompts: Sequence[Made], *, own: bool) -> list[EncodedPictures]:
        """Run the tower over each picture."""
        counts = [len(one.arrays[PIXELS]) for one in prompts]
        found = self._passes.features([one for prompt in prompts for one in prompt.arrays[PIXELS]], own=own)
        ends = np.cumsum(counts)
        parts = [np.concatenate(found[end - count : end]) for end, count in zip(ends, counts, strict=True)]
        return [EncodedPictures(Rows(rows)) for rows in parts]

    def entering(self, prompts: Sequence[Made], encoded: Sequence[EncodedPictures], *, own: bool) -> list[Array]:
        """Put the rows in the places of their placeholders."""
        embedded = self._passes.embed([one.ids for one in prompts], own=own)
        placeholder = self._whole.image_token_id
        return [
            splice(prompt.ids, words, sight.rows.rows, placeholder)
            for prompt, words, sight in zip(prompts, embedded, encoded, strict=True)
        ]

    def positions(self, prompt: Made) -> Array:
        """Count the tokens."""
        return np.arange(len(prompt.ids), dtype=np.int64)

    def read(
        self,
        prompts: Sequence[Made],
        answers: Sequence[Sequence[int]],
        encoded: Sequence[EncodedPictures],
        *,
        own: bool,
    ) -> PassResult:
        """Run GLM over the embeddings."""
        documents = [[*prompt.ids, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        entering = self.entering(prompts, encoded, own=own)
        behind = self._passes.embed(answers, own=own)
        embeddings = [np.concatenate(both) for both in zip(entering, behind, strict=True)]
        if own:
            return self._passes.own(documents, embeddings)
        return self._passes.merged(documents, embeddings, "float32")

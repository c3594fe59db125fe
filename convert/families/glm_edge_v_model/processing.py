"""Conversations with pictures to what the model takes: the checkpoint's own chat template, and a check of its count.

In GLM-Edge-V the template itself writes the placeholders, `range(578)`, so nothing is expanded here; but the number is a
constant in a text that knows nothing of the tower, and a wrong one shifts every later token. It is checked first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from ....core import limits
from ....core.errors import CheckpointError, UsageError
from ....core.hf_tokenizer import open_tokenizer
from .configuration import GlmEdgeVConfig
from .facts import PLACEHOLDER, check_placeholders
from .image_processing import GlmEdgeVImageProcessor

ONE_PICTURE = ({"role": "user", "content": [{"type": "image"}]},)


class GlmEdgeVProcessor(ProcessorMixin):  # type: ignore[misc]
    """Tokenizer, chat template and image processor of one checkpoint."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        image_tokens: int | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            image_processor: a `GlmEdgeVImageProcessor`.
            tokenizer: with `<|begin_of_image|>` as one token.
            chat_template: the tokenizer's own if None.
            image_tokens: placeholders a picture, `GlmEdgeVConfig.image_tokens`.

        Raises:
            CheckpointError: the tokenizer has no placeholder, or the template writes another number of them.
        """
        self.image_tokens = image_tokens
        self.image_token = PLACEHOLDER
        self.image_token_id = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
        if self.image_token_id in {None, tokenizer.unk_token_id}:
            raise CheckpointError(f"The tokenizer has no token {PLACEHOLDER}.", "It belongs to another model.")
        super().__init__(image_processor, tokenizer, chat_template=chat_template or tokenizer.chat_template)
        self._check_template()

    @classmethod
    def from_checkpoint(cls, folder: Path) -> GlmEdgeVProcessor:
        """Read the files of a checkpoint folder.

        Raises:
            CheckpointError: see `__init__` and `Preprocess.from_config`; or the files differ about size or placeholder.
        """
        try:
            config = GlmEdgeVConfig.from_checkpoint(json.loads(limits.read_text(folder / "config.json", limits.JSON)))
            preparation = json.loads(limits.read_text(folder / "preprocessor_config.json", limits.JSON))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: a file of the processor cannot be read ({error}).") from error
        images = GlmEdgeVImageProcessor(**preparation)
        made, wanted = images.size["height"], config.vision_config.image_size
        if made != wanted:
            raise CheckpointError(f"preprocessor_config.json makes pictures of {made} px, the tower takes {wanted}.")
        processor = cls(images, open_tokenizer(folder), image_tokens=config.image_tokens)
        if processor.image_token_id != config.boi_token_id:
            raise CheckpointError(
                f"The tokenizer's {PLACEHOLDER} is {processor.image_token_id}, config.json's boi_token_id "
                f"{config.boi_token_id}: no picture would find its place.",
                "Tokenizer and config.json are of different models or revisions; download all files again.",
            )
        return processor

    def _check_template(self) -> None:
        if self.chat_template is None or self.image_tokens is None:
            return
        found = self.apply_chat_template(list(ONE_PICTURE)).count(PLACEHOLDER)
        if found != self.image_tokens:
            raise CheckpointError(
                f"The chat template writes {found} {PLACEHOLDER} a picture, but the tower makes {self.image_tokens} rows.",
                "Template and config.json are of different models or revisions; download all files again.",
            )

    def __call__(
        self, images: Any = None, text: Any = None, return_tensors: str | None = None, **options: Any
    ) -> BatchFeature:
        """Encode prompts that hold their placeholders already, and the pictures that belong to them.

        Args:
            images: as for `GlmEdgeVImageProcessor.preprocess`; of all prompts, in their order.
            text: a rendered prompt, or a list of them.
            return_tensors: "pt", "np" or None.
            **options: for the tokenizer, e.g. `padding=True`.

        Returns:
            `input_ids`, `attention_mask`, and with pictures `pixel_values` float32 [n, 3, size, size].

        Raises:
            UsageError: placeholders and pictures do not fit.
        """
        if text is None:
            raise UsageError("A picture alone is not a prompt; give a text with its placeholders too.")
        given = options.pop("text_kwargs", {})
        given = given | {n: v for n, v in options.items() if v is not None and not n.endswith("_kwargs")}
        given.pop("return_mm_token_type_ids", None)
        data = dict(self.tokenizer([text] if isinstance(text, str) else list(text), **given))
        none = images is None or (isinstance(images, list | tuple) and not images)
        pixels = {} if none else self.image_processor(images)
        if self.image_tokens is not None:
            counts = [list(ids).count(self.image_token_id) for ids in data["input_ids"]]
            check_placeholders(counts, self.image_tokens, len(pixels.get("pixel_values", ())))
        return BatchFeature(data | dict(pixels), tensor_type=return_tensors)

    def apply_chat_template(self, conversation: Any, chat_template: str | None = None, **options: Any) -> Any:
        """As in `ProcessorMixin`, for messages whose `content` is a list of parts, or a plain string.

        A string becomes one part of text: GLM-Edge-V's template would leave it out without a word.
        """
        several = isinstance(conversation[0], list | tuple)
        rows = [[_in_parts(message) for message in row] for row in (conversation if several else [conversation])]
        return super().apply_chat_template(rows if several else rows[0], chat_template, **options)


def _in_parts(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    return message | {"content": [{"type": "text", "text": content}]} if isinstance(content, str) else message

"""How a vision-language model's pictures and prompts are prepared.

GLM-Edge-V's are by its own rules, all others' by transformers' processors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..convert.families.glm_edge_v_model.facts import MODEL_TYPE, check_placeholders, image_tokens
from ..convert.program.vision import PIXELS, PREPROCESSORS, Arrays
from ..core.errors import ArtifactError
from .cached import Picture
from .processor import Processor
from .prompt import Message, Prompter, Prompting

if TYPE_CHECKING:
    from PIL import Image

    from ..convert.families.glm_edge_v_model.pixels import Preprocess


class VisionProcessor(Protocol):
    """What must be known of a vision-language model, besides the model.

    Attributes:
        prompter: chat template and tokenizer.
        placeholder: the token in whose places the rows of pictures stand.
    """

    @property
    def prompter(self) -> Prompting:
        """Chat template and tokenizer."""

    @property
    def placeholder(self) -> int:
        """The token in whose places the rows of pictures stand."""

    def picture(self, picture: Image.Image) -> Picture:
        """Prepare an opened picture, of any size and mode. Raises CheckpointError."""

    def prompt(self, messages: list[Message], pictures: Sequence[Picture]) -> list[int]:
        """Return the ids of a conversation and its pictures. Raises ArtifactError or UsageError."""


@dataclass(frozen=True)
class TransformersVisionProcessor:
    """That of a model whose pictures transformers prepares."""

    processor: Processor

    @property
    def prompter(self) -> Prompting:
        """Chat template and tokenizer."""
        return self.processor.prompter

    @property
    def placeholder(self) -> int:
        """The token in whose places the rows of pictures stand."""
        return self.processor.placeholder

    def picture(self, picture: Image.Image) -> Picture:
        """Prepare an opened picture."""
        made = self.processor.pixels(picture)
        return Picture(made, self.processor.written(made))

    def prompt(self, messages: list[Message], pictures: Sequence[Picture]) -> list[int]:
        """Return the ids of a conversation and its pictures."""
        return self.processor.prompt(messages, [one.written for one in pictures])


@dataclass(frozen=True)
class GlmEdgeVisionProcessor:
    """That of a GLM-Edge-V, whose template writes all placeholders of a picture.

    Attributes:
        prompter: chat template and tokenizer.
        preprocess: pictures to pixels.
        rows: of one picture.
        placeholder: the token in whose places they stand.
        as_canvas: pixels are the padded square, uint8 [S, S, 3], which llama.cpp normalizes itself.
    """

    prompter: Prompting
    preprocess: Preprocess
    rows: int
    placeholder: int
    as_canvas: bool = False

    @classmethod
    def from_folder(cls, folder: Path, config: dict[str, Any]) -> GlmEdgeVisionProcessor:
        """Read an artifact's small files; `config` is its config.json.

        Raises:
            ArtifactError: config.json does not describe a tower, or there is no template or tokenizer.
            CheckpointError: preprocessor_config.json is damaged.
        """
        from ..convert.families.glm_edge_v_model.pixels import Preprocess

        try:
            vision = config["vision_config"]
            rows = image_tokens(int(vision["image_size"]), int(vision["patch_size"]))
            placeholder = int(config["boi_token_id"])
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{folder / 'config.json'} does not say how the model sees.", "Convert the checkpoint again."
            ) from error
        if not (folder / PREPROCESSORS[0]).is_file():
            raise ArtifactError(
                f"{folder} is not a whole vision model: {PREPROCESSORS[0]} missing.", "Convert the checkpoint again."
            )
        return cls(Prompter(folder), Preprocess.from_folder(folder), rows, placeholder)

    def picture(self, picture: Image.Image) -> Picture:
        """Prepare an opened picture."""
        return Picture({PIXELS: self.preprocess.canvas(picture) if self.as_canvas else self.preprocess([picture])})

    def prompt(self, messages: list[Message], pictures: Sequence[Picture]) -> list[int]:
        """Return the ids of a conversation, whose pictures are squares of one size."""
        ids = self.prompter.encode(self.prompter.render(messages))
        check_placeholders([ids.count(self.placeholder)], self.rows, len(pictures))
        return ids


def pixels_of(folder: Path, config: dict[str, Any]) -> Callable[[Image.Image], Arrays]:
    """Return what prepares an artifact's pictures, which needs no template. Raises as `vision_processor_of`."""
    if config.get("model_type") == MODEL_TYPE:
        from ..convert.families.glm_edge_v_model.pixels import Preprocess

        preprocess = Preprocess.from_folder(folder)
        return lambda picture: {PIXELS: preprocess([picture])}
    return Processor(folder).pixels


def vision_processor_of(folder: Path, config: dict[str, Any]) -> VisionProcessor:
    """Return how an artifact's pictures are prepared; `config` is its config.json.

    Raises:
        ArtifactError: its processor is not known, or a small file is missing.
        CheckpointError: one is damaged.
    """
    if config.get("model_type") == MODEL_TYPE:
        return GlmEdgeVisionProcessor.from_folder(folder, config)
    return TransformersVisionProcessor(Processor(folder))

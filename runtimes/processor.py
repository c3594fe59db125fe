"""From pictures and messages to what a vision-language model takes, opened from a folder of small files.

Pixels are transformers' own (`core.pixels`), the chat template is rendered as for every model, and the picture's tokens are put
in the place of its marker as transformers' processor does (`expansions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
from PIL import Image

from ..convert.checkpoint import read_json
from ..core.errors import ArtifactError, CheckpointError, UsageError
from ..core.picture_file import open_picture
from ..core.picture_task import upright_rgb
from ..core.pixels import Pixels
from .expansions import EXPANSIONS, Stated
from .prompt import Message, Prompter

Arrays = Mapping[str, npt.NDArray[Any]]
T = TypeVar("T")
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
_TAKE = "Take the file of the model's own repository, and convert again."


class Processor:
    """The processor of a checkpoint, or of an artifact, which has its small files; a template is needed for prompts alone."""

    def __init__(self, folder: Path) -> None:
        """Read the files.

        Raises:
            ArtifactError: transformers' processor of the model is not known here.
            CheckpointError: a file is damaged, or does not say what the processor needs.
        """
        config = read_json(folder / "config.json")
        whole, image = _read(folder)
        self._pixels = Pixels(image, str(config.get("model_type")))
        named = _tokenizer(folder)
        name = whole.get("processor_class") or image.get("processor_class") or named.get("processor_class")
        if name is None and self._pixels.processor is None:
            raise ArtifactError(
                f"{folder} names no processor_class, and transformers has none for {config.get('model_type')}.", _TAKE
            )
        self._name = str(name or self._pixels.processor)
        if self._name not in EXPANSIONS:
            known = ", ".join(sorted(EXPANSIONS))
            raise ArtifactError(
                f"{folder} prepares pictures by transformers' {self._name}, which is not known here.",
                f"Known are {known}.",
            )
        self._expansion = EXPANSIONS[self._name]
        self._stated = Stated(whole, self._pixels.values, _tokens(named))
        self._folder = folder
        self._row = self._found(lambda: self._expansion.row(self._stated))
        self._marker = self._found(lambda: self._expansion.marker(self._stated))

    @property
    def name(self) -> str:
        """The class of transformers' processor."""
        return self._name

    @cached_property
    def prompter(self) -> Prompter:
        """Chat template and tokenizer. Raises ArtifactError if there are none."""
        return Prompter(self._folder, as_processor=True)

    @property
    def placeholder(self) -> int:
        """The token whose places the encoder's rows take. Raises ArtifactError if the tokenizer has none."""
        return self.prompter.id(self._row)

    def pixels(self, picture: Path | Image.Image) -> dict[str, npt.NDArray[Any]]:
        """Return what the encoder takes of a picture: pixel_values and, where the model has it, image_grid_thw and the like.

        Args:
            picture: a file, or what was opened; it is turned upright by its EXIF tag, and what is transparent becomes white.

        Returns:
            The arrays as transformers makes them for one picture alone, the first axis that of a batch of pictures or of its
            patches or tiles.

        Raises:
            CheckpointError: the image processor fails.
            UsageError: the file is no picture.
        """
        opened = open_picture(picture) if isinstance(picture, Path) else upright_rgb(picture)
        return self._pixels(opened, **self._found(lambda: self._expansion.options(self._stated)))

    def written(self, made: Arrays) -> str:
        """Return what stands for a picture in a prompt, of what `pixels` gave. Raises CheckpointError if no file says how."""
        return self._found(lambda: self._expansion.written(self._stated, made))

    def prompt(self, messages: list[Message], written: Sequence[str]) -> list[int]:
        """Return the ids of a conversation, up to where the assistant begins, with a placeholder for each row of its pictures.

        Args:
            messages: in parts, with {"type": "image"} where a picture stands.
            written: what `written` gave of each picture, in their order.

        Raises:
            ArtifactError: the template or the tokenizer cannot be used.
            UsageError: the template refuses the conversation, or a text holds tokens that stand for pictures.
        """
        parts = self.prompter.render(messages).split(self._marker)
        if len(parts) - 1 != len(written):
            raise self._own_placeholders(len(parts) - 1, len(written))
        joined = [piece for pair in zip(parts, [*written, ""], strict=True) for piece in pair]
        ids = self.prompter.encode("".join(joined))
        rows = sum(one.count(self._row) for one in written)
        if ids.count(self.placeholder) != rows:
            raise self._own_placeholders(ids.count(self.placeholder), rows)
        return ids

    def _found(self, ask: Callable[[], T]) -> T:
        """Ask what the files say. Raises CheckpointError where they do not."""
        try:
            return ask()
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise CheckpointError(
                f"{self._folder} does not say how {self._name} writes a picture: {error!s:.200}.", _TAKE
            ) from error

    def _own_placeholders(self, found: int, needed: int) -> UsageError:
        return UsageError(
            f"The prompt holds {found} tokens that stand for pictures ({self._marker}), where {needed} are needed.",
            f"Leave {self._marker} out of the text, and give pictures as pictures.",
        )


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is said of the whole processor, and of its image processor; the first file may hold both."""
    whole = read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    image = whole.get("image_processor")
    if isinstance(image, dict):
        return whole, image
    if not (folder / PREPROCESSOR).is_file():
        raise CheckpointError(f"{folder} has no {PREPROCESSOR}, which says how pictures are prepared.", _TAKE)
    return whole, read_json(folder / PREPROCESSOR)


def _tokenizer(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return read_json(path) if path.is_file() else {}


def _tokens(stated: Mapping[str, Any]) -> dict[str, str]:
    """Return the tokens that tokenizer_config.json names, wherever a release of transformers has put them."""
    places = [stated, *(stated.get(name) for name in ("extra_special_tokens", "model_specific_special_tokens"))]
    found: dict[str, str] = {}
    for place in places:
        for name, value in place.items() if isinstance(place, Mapping) else ():
            content = value.get("content") if isinstance(value, dict) else value
            if name.endswith("_token") and isinstance(content, str):
                found[name] = content
    return found

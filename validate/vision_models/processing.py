"""What an artifact's own files make of pictures and conversations, as `edgeconv chat` uses them: the side that is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...convert.checkpoint import read_json
from ...convert.program.vision import Arrays
from ...core.errors import EdgeconvError
from ...runtimes.vision_processor import VisionProcessor, vision_processor_of
from ..multimodal.conversations import Conversation


class Processing:
    """Of one artifact."""

    def __init__(self, folder: Path) -> None:
        """Take its folder; what is wrong with its files is said of each picture."""
        self._sight: VisionProcessor | None = None
        self._problem: EdgeconvError | None = None
        try:
            self._sight = vision_processor_of(folder, read_json(folder / "config.json"))
        except EdgeconvError as error:
            self._problem = error

    def pixels(self, picture: Any) -> Arrays:
        """Return what its vision part takes of a picture of PIL. Raises EdgeconvError."""
        return self._opened.picture(picture).made

    def prompt(self, conversation: Conversation) -> list[int]:
        """Return the ids, with placeholders. Raises EdgeconvError."""
        made = [self._opened.picture(picture) for picture in conversation.pictures]
        return self._opened.prompt([turn.message for turn in conversation.turns], made)

    @property
    def _opened(self) -> VisionProcessor:
        if self._sight is None:
            raise self._problem or EdgeconvError("The artifact's files make no processor.")
        return self._sight

"""What models are asked about pictures: each alone, two in one question, and one in the second turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.picture_file import open_picture
from ..suite import Picture


@dataclass(frozen=True)
class Turn:
    """A turn of a conversation: its pictures, of PIL, stand before its text."""

    role: str
    text: str
    pictures: tuple[Any, ...] = ()

    @property
    def message(self) -> dict[str, Any]:
        """As chat templates take it."""
        pictures = [{"type": "image"} for _ in self.pictures]
        return {"role": self.role, "content": [*pictures, {"type": "text", "text": self.text}]}


@dataclass(frozen=True)
class Conversation:
    """Turns that end with a question.

    Attributes:
        name: for people.
        turns: of it.
    """

    name: str
    turns: tuple[Turn, ...]

    @property
    def pictures(self) -> list[Any]:
        """Of all turns, in their order."""
        return [one for turn in self.turns for one in turn.pictures]

    @property
    def is_single(self) -> bool:
        """True if it is one question about one picture."""
        return len(self.turns) == len(self.pictures) == 1

    @property
    def plain(self) -> list[dict[str, Any]]:
        """As a report shows it."""
        return [
            {"role": turn.role, "content": f"[{self.name}] {turn.text}" if turn.pictures else turn.text}
            for turn in self.turns
        ]


def conversations(pictures: Sequence[Picture]) -> list[Conversation]:
    """Return what is asked of a suite's pictures. Raises UsageError if a file is no picture."""
    opened = [open_picture(one.path) for one in pictures]
    found = [
        Conversation(one.name, (Turn("user", one.question, (picture,)),))
        for one, picture in zip(pictures, opened, strict=True)
    ]
    if len(opened) > 1:
        question = pictures[0].question
        both = (opened[0], opened[1])
        found.append(Conversation("two pictures", (Turn("user", question, both),)))
        later = (Turn("user", "Hello!"), Turn("assistant", "Hello!"), Turn("user", question, (opened[0],)))
        found.append(Conversation("a picture in the second turn", later))
    return found


def extremes() -> dict[str, Any]:
    """Return pictures of sizes that processors take badly, of which pixels alone are compared, by what they are called."""
    from PIL import Image

    ramp = Image.linear_gradient("L").convert("RGB")
    sizes = {"one pixel wide": (1, 150), "one pixel high": (150, 1), "8,192 pixels wide": (8192, 60)}
    return {name: ramp.resize(size) for name, size in sizes.items()}

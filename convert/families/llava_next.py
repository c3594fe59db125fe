"""LLaVA-NeXT: LLaVA's encoder over tiles of a picture, whose rows are put together with a row for the end of each line.

Source: `transformers/models/llava_next/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..program.decoder import Decoder
from ..program.reading import Config, contradicting, wrong
from ..program.spec import LanguagePart, VisionPart, vision_language
from ..program.vision import Array, Arrays, Rows, Shapes
from .llava import FIELDS, PROJECTOR, LlavaVision, fields_of, text_config
from .llava_gguf import NEXT

NEWLINE, FIELD, PINPOINTS = "model.image_newline", "image_newline", "image_grid_pinpoints"
DEFAULT_PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
"""What `LlavaNextConfig` takes where none are stated: heights and widths that a picture is fitted to."""


@dataclass(frozen=True)
class LlavaNextVision(LlavaVision):
    """The same encoder, with what puts tiles together.

    Attributes:
        pinpoints: heights and widths that a picture is fitted to.
        newline: float32 [hidden], the row at the end of each line; None: of a checkpoint, whose tensor holds it.
    """

    pinpoints: tuple[tuple[int, int], ...] = DEFAULT_PINPOINTS
    newline: tuple[float, ...] | None = None

    @property
    def image_tokens(self) -> None:
        """It depends on the picture's size."""
        return

    @property
    def stated(self) -> Mapping[str, str]:
        """The row for the end of a line."""
        return {FIELD: NEWLINE}

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used."""
        return super().tensors() | {NEWLINE: (self.out_size,)}

    def rows(self, outputs: Sequence[Array], made: Arrays) -> Rows:
        """Put the rows of a picture's tiles together: those of all of it in small, then line by line."""
        (tiles,) = outputs
        newline = np.asarray(self.newline, np.float32)[None]
        if len(tiles) == 1:
            return Rows(np.concatenate([tiles[0], newline]))
        height, width = (int(size) for size in np.asarray(made["image_sizes"]).reshape(-1))
        side, grid = self.tower.image_size, self.tower.grid
        best = self.best(height, width)
        down, across = best[0] // side, best[1] // side
        lines = tiles[1:].reshape(down, across, grid, grid, -1).transpose(0, 2, 1, 3, 4)
        lines = without_padding(lines.reshape(down * grid, across * grid, -1), height, width)
        ends = np.broadcast_to(newline, (len(lines), 1, self.out_size))
        return Rows(np.concatenate([tiles[0], np.concatenate([lines, ends], 1).reshape(-1, self.out_size)]))

    def best(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a picture is fitted to (`select_best_resolution`)."""

        def rank(size: tuple[int, int]) -> tuple[int, int]:
            scale = min(size[1] / width, size[0] / height)
            inside = min(int(width * scale) * int(height * scale), width * height)
            return inside, inside - size[0] * size[1]

        return max(self.pinpoints, key=rank)


def without_padding(lines: Array, height: int, width: int) -> Array:
    """Cut rows [down, across, hidden] to where the picture of that size lies (`unpad_image`)."""
    down, across = lines.shape[:2]
    if width / height > across / down:
        inside = int(round(height * (across / width), 7))
        edge = (down - inside) // 2
        return lines[edge : down - edge]
    inside = int(round(width * (down / height), 7))
    edge = (across - inside) // 2
    return lines[:, edge : across - edge]


def _described(config: Config, vision_config: Config, decoder: Decoder) -> LlavaNextVision:
    stated = config.get(PINPOINTS) or DEFAULT_PINPOINTS
    right = isinstance(stated, (list, tuple)) and all(
        isinstance(one, (list, tuple)) and len(one) == 2 and all(type(size) is int and size > 0 for size in one)
        for one in stated
    )
    if not right:
        raise wrong(PINPOINTS, stated, "a list of heights and widths")
    made = LlavaNextVision(
        **fields_of("llava_next", config, vision_config, decoder),
        pinpoints=tuple((one[0], one[1]) for one in stated),
        newline=_newline(config.get(FIELD), decoder),
    )
    if any(size % made.tower.image_size for one in made.pinpoints for size in one):
        raise contradicting(f"{PINPOINTS} are no multiples of {made.tower.image_size} pixels")
    return made


def _newline(stated: object, decoder: Decoder) -> tuple[float, ...] | None:
    """Read what an artifact's config.json states."""
    if stated is None:
        return None
    if (
        not isinstance(stated, list)
        or len(stated) != decoder.hidden_size
        or not all(isinstance(one, float) for one in stated)
    ):
        raise wrong(FIELD, "a list", f"{decoder.hidden_size} numbers")
    return tuple(stated)


FAMILY = vision_language(
    "llava_next",
    "LlavaNextForConditionalGeneration",
    LanguagePart(None, text_config),
    VisionPart(
        "llava_next",
        title="LLaVA-NeXT",
        mmproj=NEXT,
        prefix=("model.vision_tower.", PROJECTOR, NEWLINE),
        fields=FIELDS | {PINPOINTS, FIELD},
        describe=_described,
    ),
)

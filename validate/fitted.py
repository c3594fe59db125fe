"""Pictures that neither a model's processor nor llama.cpp resizes, made of any: so both show the same pixels to the tower."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..convert.program.vision import Arrays

FEWEST, MOST = 8, 4096
"""Rows of a picture of any size that llama.cpp makes at least, and at most (`set_limit_image_tokens`)."""
_TRIES = 8
_TILED = 5
_SQUARE = 512
"""Any side: how many tiles a square becomes does not depend on it."""


def fitted(picture: Any, process: Callable[[Any], Arrays], stretch: int | None, square: int | None = None) -> Any:
    """Return a picture of PIL in the size that its processor gives it, or in a larger one of the same kind.

    Args:
        picture: of PIL.
        process: what the checkpoint's processor makes of a picture.
        stretch: Pillow's number of the filter, where the processor stretches pictures to a square; None: bicubic.
        square: side of a square that is to be preferred, if the processor leaves it as it is.
    """
    if square is not None:
        made = picture.resize((square, square), 3)
        width, height, rows = _size(process(made))
        if (width, height) == (square, square) and rows is not None and FEWEST <= rows <= MOST:
            return made
    made = process(picture)
    if _of_tiles(made):
        side, made = made["pixel_values"].shape[-1], process(picture.resize((_SQUARE, _SQUARE), 3))
        tiles = max(1, math.isqrt(made["pixel_values"].shape[1] - 1))
        return picture.resize((tiles * side, tiles * side), 3)
    for _ in range(_TRIES):
        width, height, rows = _size(made)
        if rows is None or FEWEST <= rows <= MOST:
            return picture.resize((width, height), 3 if stretch is None else stretch)
        scale = math.sqrt(2) if rows < FEWEST else math.sqrt(0.5)
        picture = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))), 3)
        made = process(picture)
    return picture


def _size(made: Arrays) -> tuple[int, int, int | None]:
    """Return width and height in pixels, and the rows of a picture of any size; None: its size is fixed."""
    if "image_grid_thw" in made:
        _, rows, columns = (int(value) for value in made["image_grid_thw"][0])
        side = math.isqrt(made["pixel_values"].shape[-1] // 6)  # three colors of two frames
        return columns * side, rows * side, rows * columns // 4
    if "image_sizes" in made:
        height, width = (int(value) for value in made["image_sizes"][0])
        return width, height, None
    side_y, side_x = made["pixel_values"].shape[-2:]
    return int(side_x), int(side_y), None


def _of_tiles(made: Arrays) -> bool:
    """Tell whether a picture is tiles and the whole behind them: [1, tiles, 3, S, S]."""
    return made["pixel_values"].ndim == _TILED

"""What a checkpoint's files state of its pictures, whichever release of transformers has saved them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError
from ..program.vision import PREPROCESSORS as FILES
from ..program.vision import preprocessor

_CHANNELS = 3


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of the image processor.

    Raises:
        CheckpointError: there is no such file, one is damaged, or the mean or the deviation of a channel is not stated.
    """
    stated = preprocessor(folder)
    if not stated:
        raise CheckpointError(
            f"{folder} has no {FILES[0]}, which says how pictures become pixels.", "Download the file, too."
        )
    for name in ("image_mean", "image_std"):
        _require_numbers(stated.get(name), name)
    return stated


def _require_numbers(value: Any, name: str) -> None:
    fits = isinstance(value, list) and len(value) == _CHANNELS
    if not fits or not all(type(one) in (int, float) and math.isfinite(one) for one in value):
        raise CheckpointError(
            f"{FILES[0]}: {name} is {value!r}, not {_CHANNELS} numbers.", "Repair the file, or download it again."
        )
    if name == "image_std" and not all(value):
        raise CheckpointError(f"{FILES[0]}: {name} has a zero.", "Repair the file, or download it again.")

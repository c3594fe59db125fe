"""From a picture to the tower's pixels, with Pillow and numpy alone: no torch, no transformers.

    any picture -> upright RGB on white -> fitted into a square, top left -> the rest 0 -> (x / 255 - mean) / std

Source: `MllamaImageProcessor` with `max_image_tiles: 1` (transformers, `models/mllama/image_processing_pil_mllama.py`),
which GLM-Edge-V's preprocessor_config.json names. The pixels are the same to the bit; in addition pictures are turned
upright by their EXIF tag, as every viewer shows them, and 16-bit gray is scaled instead of cut off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ....core import limits
from ....core.errors import CheckpointError
from ....core.picture_file import open_picture
from ....core.picture_task import upright_rgb

__all__ = ["Preprocess", "open_picture"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Preprocess:
    """What preprocessor_config.json says.

    Attributes:
        size: side of the square in pixels.
        mean: of red, green, blue, on the scale of 0 to 1.
        std: likewise.
        rescale_factor: what a byte is multiplied with first.
        resample: Pillow's number of the filter; 3 is bicubic.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rescale_factor: float = 1 / 255
    resample: int = 3

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Preprocess:
        """Read the parsed preprocessor_config.json.

        Raises:
            CheckpointError: a field is missing, or asks for something else than fit, pad and normalize.
        """
        absent = [name for name in ("size", "image_mean", "image_std", "resample") if config.get(name) is None]
        if absent:
            raise CheckpointError(
                f"preprocessor_config.json does not state {', '.join(absent)}.",
                "Without it the pixels would be guessed; download the file again.",
            )
        size = config["size"]
        height, width = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
        off = [n for n in ("do_resize", "do_rescale", "do_normalize", "do_pad") if config.get(n, True) is False]
        if height != width or not height or off or config.get("max_image_tiles", 1) != 1:
            raise CheckpointError(
                f"preprocessor_config.json asks for a preparation that GLM-Edge-V does not have: size {size}, "
                f"max_image_tiles {config.get('max_image_tiles', 1)}, switched off: {', '.join(off) or 'nothing'}."
            )
        return cls(
            size=int(height),
            mean=tuple(map(float, config["image_mean"])),
            std=tuple(map(float, config["image_std"])),
            rescale_factor=float(config.get("rescale_factor") or 1 / 255),
            resample=int(config["resample"]),
        )

    @classmethod
    def from_folder(cls, folder: Path) -> Preprocess:
        """Read preprocessor_config.json in a checkpoint's or an artifact's folder. Raises CheckpointError."""
        path = folder / "preprocessor_config.json"
        try:
            config = json.loads(limits.read_text(path, limits.JSON))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read ({error}).", "Pictures need it; take it from the model's own repository."
            ) from error
        return cls.from_config(config)

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of a picture in the square: the longer side fills it, the other is rounded down."""
        by_width, by_height = self.size / width, self.size / height
        if by_width < by_height:
            return self.size, min(math.floor(height * by_width) or 1, self.size)
        return min(math.floor(width * by_height) or 1, self.size), self.size

    def canvas(self, picture: Image.Image) -> Array:
        """Return the padded square, uint8 [size, size, 3]."""
        picture = upright_rgb(picture)
        fitted = picture.resize(self.fit(*picture.size), resample=Image.Resampling(self.resample))
        square = np.zeros((self.size, self.size, 3), np.uint8)
        square[: fitted.height, : fitted.width] = np.asarray(fitted)
        return square

    @cached_property
    def _values(self) -> Array:
        """What becomes of each byte, float32 [3, 256], in the order of operations and types of the source."""
        scaled = (np.arange(256, dtype=np.float64) * self.rescale_factor).astype(np.float32)
        mean, std = (np.array(values, np.float32)[:, None] for values in (self.mean, self.std))
        values: Array = (scaled - mean) / std
        return values

    def __call__(self, pictures: Sequence[Image.Image]) -> Array:
        """Return the pixels of the pictures, float32 [n, 3, size, size]."""
        made = np.empty((len(pictures), 3, self.size, self.size), np.float32)
        for i, picture in enumerate(pictures):
            square = self.canvas(picture)
            for channel in range(3):
                made[i, channel] = self._values[channel][square[..., channel]]
        return made

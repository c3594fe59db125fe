"""`pixels.Preprocess` as an image processor of transformers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature

from ....core.errors import UsageError
from .pixels import Preprocess


class GlmEdgeVImageProcessor(BaseImageProcessor):  # type: ignore[misc]
    """Fit a picture into the tower's square, top left, pad with black, normalize; arguments as in the config file."""

    model_input_names = ["pixel_values"]  # noqa: RUF012 - as in all of transformers' processors

    def __init__(self, **config: Any) -> None:
        """Take the fields of preprocessor_config.json; unknown ones are kept and written again.

        Raises:
            CheckpointError: see `Preprocess.from_config`.
        """
        super().__init__(**config)
        self._preprocess_rule = Preprocess.from_config(config)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of preprocessor_config.json."""
        fields: dict[str, Any] = super().to_dict()
        return {name: value for name, value in fields.items() if not name.startswith("_")}

    def preprocess(self, images: Any, return_tensors: str | None = None, **_: Any) -> BatchFeature:
        """Prepare one picture or several.

        Args:
            images: a PIL image, a uint8 array [height, width, 3], or a (nested) list of them.
            return_tensors: "np" (also the default) or "pt".

        Returns:
            `pixel_values`: float32 [n, 3, size, size].
        """
        pixels = self._preprocess_rule([_picture(one) for one in _flat(images)])
        return BatchFeature({"pixel_values": pixels}, tensor_type=return_tensors)


def _flat(images: Any) -> Iterable[Any]:
    if not isinstance(images, list | tuple):
        return [images]
    return [one for entry in images for one in _flat(entry)]


def _picture(one: Any) -> Image.Image:
    if isinstance(one, Image.Image):
        return one
    array = np.asarray(one)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise UsageError(
            f"A picture is a PIL image or a uint8 array [height, width, 3], not {array.dtype} {array.shape}."
        )
    return Image.fromarray(array)

"""The vision part of an artifact: its tower and adapter in plain OpenVINO, and pictures put among the words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.openvino.stream_ir import VISION_EMBEDDINGS
from ..core.errors import ArtifactError
from .openvino import compile_ir

Array = npt.NDArray[Any]


class OpenVINOTower:
    """Pixels to the rows that take the placeholders' places."""

    def __init__(self, folder: Path, device: str = "CPU", *, accurate: bool = True) -> None:
        """Compile. Raises ArtifactError if the IR does not open."""
        compiled = compile_ir(folder / f"{VISION_EMBEDDINGS}.xml", device, accurate=accurate)
        self._request: Any = compiled.create_infer_request()

    def __call__(self, pixels: Array) -> Array:
        """Map float32 [3, S, S] to float32 [rows, hidden]."""
        rows: Array = self._request.infer({"pixel_values": pixels[None]})[0][0].copy()
        return rows

    def close(self) -> None:
        """Drop the compiled model."""
        self._request = None


def splice(ids: Sequence[int], embeddings: Array, features: Array, placeholder: int) -> Array:
    """Put the rows of pictures in the places of their placeholders.

    Args:
        ids: of the prompt.
        embeddings: float32 [n, hidden] of its tokens.
        features: float32 [rows, hidden] of all its pictures, in their order.
        placeholder: the token that keeps the place.

    Raises:
        ArtifactError: there are more or fewer rows than places.
    """
    places = np.flatnonzero(np.array(ids) == placeholder)
    if len(places) != len(features):
        raise ArtifactError(
            f"The tower makes {len(features)} rows of a picture, the prompt has places for {len(places)}.",
            "The artifact's vision IR and its chat template are not of the same model.",
        )
    merged = embeddings.copy()
    merged[places] = features
    return merged

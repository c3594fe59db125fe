"""Pictures put among the words of a prompt, as rows of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ArtifactError

Array = npt.NDArray[Any]


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

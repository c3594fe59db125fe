"""The positions that transformers' model gives the tokens of a prompt with pictures: the truth for M-RoPE."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_INDEX = "get_rope_index"
"""The method of transformers' models with positions of several axes."""


def of_prompt(model: Any, ids: Sequence[int], arrays: Mapping[str, Array]) -> Array:
    """Return int64 [n], or [axes, n].

    Args:
        model: transformers', what puts pictures among the words.
        ids: of the prompt.
        arrays: what the processor made of the prompt beside them.
    """
    import torch

    index = getattr(model, _INDEX, None)
    if index is None:
        return np.arange(len(ids), dtype=np.int64)
    takes = inspect.signature(index).parameters
    given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items() if name in takes}
    given.pop("attention_mask", None)
    found, _ = index(input_ids=torch.tensor([list(ids)]), **given)
    made: Array = found[:, 0].numpy().astype(np.int64)
    return made

"""What a vision part gives a language model for the pictures of a prompt, in the form in which transformers' model takes it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.program.vision import Rows

Array = npt.NDArray[Any]
GIVES = "get_image_features"
"""The method of transformers' models that take pictures which gives the rows, and is asked by `forward`."""
_OF_TOKENS = ("token_type_ids", "mm_token_type_ids")
"""What a processor gives for each token: which are of a picture."""


@dataclass(frozen=True)
class Features:
    """Rows of a prompt's pictures.

    Attributes:
        pooled: torch [..., hidden], or several of it: all rows in the order of the placeholders.
        deep: torch [image tokens, hidden] of each layer of the language model that gets more (DeepStack); empty: none does.
    """

    pooled: Any
    deep: tuple[Any, ...] = ()

    @property
    def rows(self) -> Rows:
        """As arrays."""
        parts = self.pooled if isinstance(self.pooled, list | tuple) else [self.pooled]
        width = parts[0].shape[-1]
        rows = np.concatenate([part.float().numpy().reshape(-1, width) for part in parts])
        return Rows(rows, np.stack([one.float().numpy() for one in self.deep]) if self.deep else None)

    def with_rows(self, rows: Rows) -> Features:
        """Return others in the same form. Raises ValueError if they are of other numbers."""
        import torch

        if rows.rows.shape != self.rows.rows.shape or (rows.deep is None) != (not self.deep):
            raise ValueError(f"{rows.rows.shape} rows of pictures, where the model has {self.rows.rows.shape}")
        flat, at = torch.from_numpy(np.ascontiguousarray(rows.rows)), 0
        made = []
        for part in self.pooled if isinstance(self.pooled, list | tuple) else [self.pooled]:
            count = part.numel() // part.shape[-1]
            made.append(flat[at : at + count].reshape(part.shape))
            at += count
        deep = () if rows.deep is None else tuple(torch.from_numpy(np.ascontiguousarray(one)) for one in rows.deep)
        return Features(tuple(made) if isinstance(self.pooled, list | tuple) else made[0], deep)


@dataclass(frozen=True)
class Seen:
    """The pictures of a prompt, for the language model.

    Attributes:
        arrays: what the processor makes of the prompt beside its ids.
        features: the rows.
    """

    arrays: Mapping[str, Array]
    features: Features

    def arguments(self, model: Any, ids: Sequence[int], kind: Any) -> dict[str, Any]:
        """Return what `model`, which puts pictures among the words, takes; behind the prompt `ids` may go on in words."""
        import torch

        takes = inspect.signature(model.forward).parameters
        made = {"input_ids": torch.tensor([list(ids)])}
        for name, array in self.arrays.items():
            if name not in takes or name == "attention_mask":
                continue
            one = torch.from_numpy(np.ascontiguousarray(array))
            if name in _OF_TOKENS:
                one = torch.nn.functional.pad(one, (0, len(ids) - one.shape[-1]))
            made[name] = one.to(kind) if one.is_floating_point() else one
        return made

    @contextlib.contextmanager
    def given(self, model: Any, kind: Any) -> Iterator[None]:
        """Let `model` have these rows for a while, instead of asking its vision part, which has no weights.

        Some models bring what they are given to the device of their first parameter: it is one that is here.
        """
        import torch

        pooled = self.features.pooled
        several = isinstance(pooled, list | tuple)
        gives = SimpleNamespace(
            pooler_output=tuple(one.to(kind) for one in pooled) if several else pooled.to(kind),
            deepstack_features=[one.to(kind) for one in self.features.deep],
        )
        own = model._parameters
        model._parameters = {"here": torch.nn.Parameter(torch.empty(0, dtype=kind), requires_grad=False), **own}
        setattr(model, GIVES, lambda *_arguments, **_options: gives)
        try:
            yield
        finally:
            delattr(model, GIVES)
            model._parameters = own

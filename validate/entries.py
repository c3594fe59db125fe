"""How a document enters a model of transformers: which of its modules is called, and with what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from .handed_on import handed_on, is_needed
from .multimodal.features import Seen
from .reference_shell import Structure
from .rows import Row

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """One document.

    Attributes:
        model: what is called.
        arguments: gives its arguments, anew for each run.
        around: what is in force meanwhile.
    """

    model: Any
    arguments: Callable[[], dict[str, Any]]
    around: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    def run(self) -> Any:
        """Run it, and return what transformers does."""
        with self.around():
            return self.model(**self.arguments(), use_cache=False)


def entry(parts: Structure, row: Row, embedded: Array | None, seen: Seen | None, kind: Any) -> Entry:
    """Return how a row enters.

    Args:
        parts: of the model.
        row: the tokens.
        embedded: float32 [n, hidden] to take instead of their own embeddings.
        seen: the pictures among them, which the model itself then puts into their places.
        kind: torch's type in which everything is computed.
    """
    import torch

    def words() -> dict[str, Any]:
        made: dict[str, Any] = (
            {"input_ids": torch.tensor([row.ids])}
            if embedded is None
            else {"inputs_embeds": torch.from_numpy(embedded)[None].to(kind)}
        )
        if row.positions is not None:
            made["position_ids"] = torch.tensor([row.positions])
        return made

    def arguments() -> dict[str, Any]:
        made = words() if seen is None else seen.arguments(parts.whole, row.ids, kind)
        if is_needed(parts.body.config, parts.first_layer):
            made["past_key_values"] = handed_on()
        return made

    if seen is None:
        return Entry(parts.body, arguments)
    pictures = seen
    return Entry(parts.whole, arguments, lambda: pictures.given(parts.whole, kind))

"""Tables of which a model reads rows: a row is read as it is asked for, so that a table of gigabytes is never in memory."""

from __future__ import annotations

from typing import Any

from .module_weights import Tensors


def lookup(tensors: Tensors, name: str, scale: float, kind: Any) -> Any:
    """Return a module that maps ids to the rows of a table, in a type of torch, times a number.

    Args:
        tensors: the source of the weights.
        name: of the table, [rows, width].
        scale: what rows are multiplied by.
        kind: torch's type of the result.
    """
    import torch

    class Lookup(torch.nn.Module):  # type: ignore[misc]
        def forward(self, ids: Any) -> Any:
            return tensors(name)[ids].to(kind) * scale

    return Lookup()

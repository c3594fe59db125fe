"""LAuReL: a residual of low rank beside attention, of what attention reads (Gemma 3n).

Source: `transformers/models/gemma3n/modeling_gemma3n.py`, `Gemma3nTextLaurelBlock`.
"""

from __future__ import annotations

from .ops import Ops, T

_LEFT, _RIGHT, _NORM = "laurel.linear_left", "laurel.linear_right", "laurel.post_laurel_norm"


def inner(hidden: int, rank: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of a layer's tensors, by their names behind its prefix."""
    return {f"{_LEFT}.weight": (rank, hidden), f"{_RIGHT}.weight": (hidden, rank), f"{_NORM}.weight": (hidden,)}


def given(ops: Ops[T], normed: T, prefix: str, eps: float) -> T:
    """Return what is added beside attention, of [batch, n, hidden]: the same and a norm of its product."""
    product = ops.linear(ops.linear(normed, prefix + _LEFT, False), prefix + _RIGHT, False)
    return ops.add(normed, ops.rms_norm(product, prefix + _NORM, eps))

"""How one layer attends, where the layers of a model differ: the width of its heads, and whose keys and values it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ops import Heads
from .reading import contradicting


@dataclass(frozen=True)
class Attention:
    """The attention of one layer.

    Attributes:
        heads: of it.
        reads: the layer whose keys and values it attends to, rotated and normalized as that layer has them; None: its own.
        value_is_key: the product of the key's projection, before norm and rotation, is the value, too.
        value_norm: values are divided by their root mean square.
    """

    heads: Heads
    reads: int | None = None
    value_is_key: bool = False
    value_norm: bool = False

    @property
    def parts(self) -> str:
        """Which projections it has, of q, k and v."""
        if self.reads is not None:
            return "q"
        return "qk" if self.value_is_key else "qkv"


def sources(kinds: Sequence[str], shared: int) -> list[int | None]:
    """Say of each layer whose keys and values it reads; None: its own.

    Args:
        kinds: of the layers.
        shared: how many layers, the last ones, read those of the last layer of their kind before them.

    Raises:
        CheckpointError: there is no such layer.
    """
    first = len(kinds) - shared
    if not 0 < first < len(kinds):
        if first < 0:
            raise contradicting(f"{shared} layers share keys and values, and there are {len(kinds)} layers")
        return [None] * len(kinds)
    last = {kind: layer for layer, kind in enumerate(kinds[:first])}
    if missing := set(kinds[first:]) - set(last):
        raise contradicting(f"layers of the kind {min(missing)} share keys and values that no layer before them has")
    return [None] * first + [last[kind] for kind in kinds[first:]]

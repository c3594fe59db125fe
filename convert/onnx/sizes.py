"""The sizes of a decoder that runtimes ask for: from its description, from config.json, or from the trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..program.ops import State

Caches = list[tuple[tuple[int, int], tuple[int, int]]]
"""Of each layer, [heads, head_dim] of the key and of the value that it keeps."""

_NAMES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "num_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "num_kv_heads": ("num_key_value_heads", "num_kv_heads"),
}
"""What the families call them."""


class HasSizes(Protocol):
    """A description that knows the sizes, as `program.decoder.Decoder` does."""

    @property
    def vocab_size(self) -> int:
        """Columns of the logits."""

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""

    @property
    def num_layers(self) -> int:
        """Number of layers."""

    @property
    def remembering(self) -> Sequence[int]:
        """Layers that keep keys and values."""

    @property
    def states(self) -> Sequence[State]:
        """What the other layers keep."""

    @property
    def num_heads(self) -> int:
        """Heads of the queries."""

    @property
    def num_kv_heads(self) -> int:
        """Heads of keys and values."""

    @property
    def head_dim(self) -> int:
        """Width of a head."""

    @property
    def value_dim(self) -> int:
        """Width of its value."""


@dataclass(frozen=True)
class Sizes:
    """The same as plain numbers."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int

    @property
    def value_dim(self) -> int:
        """As wide as the rest of a head."""
        return self.head_dim

    @property
    def remembering(self) -> range:
        """All layers."""
        return range(self.num_layers)

    @property
    def states(self) -> tuple[State, ...]:
        """None."""
        return ()


def of_config(config: dict[str, Any]) -> Sizes | None:
    """Read them from config.json, whatever its family calls them; None if one is not there.

    Models whose heads all share one key and value say so in words of their own, so that `num_kv_heads` may be too large.
    """
    found = {
        ours: next((config[key] for key in keys if _is_count(config.get(key))), None) for ours, keys in _NAMES.items()
    }
    vocab, hidden, layers, heads = (
        config.get("vocab_size"),
        found["hidden_size"],
        found["num_layers"],
        found["num_heads"],
    )
    if not _is_count(vocab) or hidden is None or layers is None or heads is None:
        return None
    shared = config.get("multi_query") and not config.get("new_decoder_architecture")
    kv_heads = 1 if shared else found["num_kv_heads"] or heads
    head_dim = int(config["head_dim"]) if _is_count(config.get("head_dim")) else hidden // heads
    return Sizes(int(vocab or 0), hidden, layers, heads, kv_heads, head_dim)


def of_caches(config: dict[str, Any], caches: Caches, vocab_size: int) -> Sizes | None:
    """Correct config.json's by what a traced graph caches; None if layers, or keys and values, are not alike."""
    stated = of_config(config)
    if stated is None or len({side for sides in caches for side in sides}) != 1:
        return None
    kv_heads, head_dim = caches[0][0]
    return Sizes(vocab_size, stated.hidden_size, len(caches), stated.num_heads, kv_heads, head_dim)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0

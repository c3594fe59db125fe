"""A cache that keeps nothing: layers that read the keys and values of others find those of the same text there (Gemma 3n)."""

from __future__ import annotations

import inspect
from typing import Any

_THROUGH_ARGUMENTS = "shared_kv_states"
"""The argument by which transformers' newer families hand them on, whether there is a cache or not."""


def is_needed(config: Any, layer: Any) -> bool:
    """Whether layers of a model look for keys and values of others in the cache, and make their own where there is none."""
    if not getattr(config, "num_kv_shared_layers", None):
        return False
    attention = getattr(layer, "self_attn", layer)
    return _THROUGH_ARGUMENTS not in inspect.signature(type(attention).forward).parameters


def handed_on() -> Any:
    """Return such a cache, for one run of one text."""
    from transformers import DynamicCache

    class HandedOn(DynamicCache):  # type: ignore[misc]
        def update(self, keys: Any, values: Any, *_arguments: Any, **_options: Any) -> tuple[Any, Any]:
            return keys, values

    return HandedOn()

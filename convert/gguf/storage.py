"""Storage types that a GGUF may hold: those that we write, and the others of gguf-py's table."""

from __future__ import annotations

import functools

from ...quantize.ggml.types import TYPES, Type


@functools.cache
def _all() -> dict[int, Type]:
    from gguf import GGML_QUANT_SIZES

    others = [Type(kind.name.lower(), int(kind), *sizes) for kind, sizes in GGML_QUANT_SIZES.items()]
    return {kind.number: kind for kind in (*others, *TYPES.values())}


def storage(number: int) -> Type | None:
    """Return the type of `enum ggml_type`, or None."""
    return _all().get(number)


def find(name: str) -> Type:
    """Return the type of a name in lower case that `storage` gave."""
    return next(kind for kind in _all().values() if kind.name == name)

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


_REMOVED = {
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
}  # fmt: skip
"""Types that ggml had once: the later ones are Q4_0 and IQ4_NL in an order that llama.cpp makes itself as it loads."""
_FORKS = range(97, 512)
"""Numbers that ik_llama.cpp gives its types."""
_PLAUSIBLE = 512
"""Beyond, a number is damage."""


def foreign(number: int) -> tuple[str, str] | None:
    """Return what a type's number that `storage` does not know means, and a hint; None for one that nobody gave.

    Both are halves of a message: "X is stored as" + the first.
    """
    if number in _REMOVED:
        name = _REMOVED[number]
        plain = "Q4_0" if name.startswith("Q4_0") else "IQ4_NL" if name.startswith("IQ4") else "Q4_K_M"
        return f"{name} (type {number}), which llama.cpp has removed", f"Take a GGUF of this model in {plain}."
    if number in _FORKS:
        hint = "Take a GGUF of this model in a type that llama.cpp itself has, such as Q4_K_M."
        return f"type {number}, one of ik_llama.cpp's own", hint
    if number < _PLAUSIBLE:
        return (
            f"type {number}, which is not known here: a newer llama.cpp's, or a fork's",
            "Take a GGUF of this model in another type, such as Q4_K_M.",
        )
    return None


def find(name: str) -> Type:
    """Return the type of a name in lower case that `storage` gave."""
    return next(kind for kind in _all().values() if kind.name == name)

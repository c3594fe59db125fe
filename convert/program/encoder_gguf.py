"""How llama.cpp knows an encoder: its architecture, keys, and the names of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..gguf_held import Held
from ..gguf_values import Value
from .reading import UnsupportedArchitecture

GELU = ("gelu", "gelu_pytorch_tanh", "gelu_new")
"""What llama.cpp computes as one: the tanh form, looked up in a table of float16."""
EXACT_GELU = "gelu"
_FLIPS = "rounding flips entries of llama.cpp's table of GELU: {} was measured over six layers"
TABLE_BUDGETS: Mapping[str, tuple[float, str]] = {
    "max_abs_state": (0.02, _FLIPS.format("0.0018")),
    "state": (2e-3, _FLIPS.format("6e-4")),
}
"""Of graphs in which llama.cpp computes GELU, which a reference has to look up, too (`validate.gelu_table`)."""
TABLE_NOTE = (
    "llama.cpp computes GELU by its tanh form from a table of float16; the checkpoint's is the exact one. Its states are some "
    "thousandths off for that alone."
)


@dataclass(frozen=True)
class Written:
    """One encoder in llama.cpp's terms.

    Attributes:
        heads: of attention.
        keys: of the architecture, without "ARCH." in front; those of the tokenizer by their full names.
        names: tensor of the checkpoint → its name in the file; empty: those of the decoder whose block it is.
        held: tensor of the checkpoint → how the file holds it otherwise.
        notes: where llama.cpp departs from the checkpoint.
    """

    heads: int
    keys: Mapping[str, Value]
    names: Mapping[str, str]
    held: Mapping[str, Held] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncoderGguf:
    """How llama.cpp knows a family.

    Attributes:
        arch: general.architecture.
        written: the description → keys and names; UnsupportedArchitecture is raised for what its graph lacks.
        budgets: metric of the comparison "conversion" → limit and reason, where llama.cpp's graph errs by itself.
    """

    arch: str
    written: Callable[[Any], Written]
    budgets: Mapping[str, tuple[float, str]] = field(default_factory=dict)


def require_gelu(activation: str, arch: str) -> tuple[str, ...]:
    """Return what is to be said of it. Raises UnsupportedArchitecture for another activation."""
    if activation not in GELU:
        raise UnsupportedArchitecture(f"its MLP uses {activation}, and llama.cpp's {arch!r} always GELU")
    return (TABLE_NOTE,) if activation == EXACT_GELU else ()

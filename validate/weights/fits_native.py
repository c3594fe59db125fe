"""The compiled comparison of an integer weight with its source (`integers.c`); `fit.py` computes the same with numpy.

It takes integers of which each group along the last axis has its own scale: what nearly every weight of an artifact is.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtimes import elements
from . import native
from .allowed import IntegerRule, integer_rule
from .openvino_ir import Match

Array = npt.NDArray[Any]
FIGURES = ("square", "source_square", "bound_square", "worst", "over", "rows_over", "largest")
_NO_LEVEL = 1e30


class _Rule(ctypes.Structure):
    """`rule` of integers.c."""

    _fields_ = (
        *((name, ctypes.c_float) for name in ("range", "top", "wider", "least", "half", "half_more")),
        *((name, ctypes.c_float) for name in ("rounding", "rounding_more")),
        ("symmetric", ctypes.c_int64),
    )


@dataclass(frozen=True)
class Compiled:
    """A weight of the kind that `integers.c` takes."""

    lib: ctypes.CDLL
    match: Match
    tensor: Array
    rule: IntegerRule

    def block(self, start: int, stop: int) -> dict[str, float] | None:
        """Compare rows [start, stop): what FIGURES names; None if something in them is not finite, which numpy counts."""
        stored, rule = self.match.stored, self.rule
        packed = stored.packed(start, stop)
        if packed is None:
            return None
        source, kind = self._source(start, stop)
        numbers = _Rule(
            rule.range, rule.top if rule.symmetric else _NO_LEVEL, rule.wider, rule.least,
            rule.half, rule.half_more, rule.rounding, rule.rounding_more, rule.symmetric,
        )  # fmt: skip
        out = np.zeros(len(FIGURES))
        self.lib.ec_fit(source.ctypes.data, kind, *packed.arguments, ctypes.byref(numbers), out.ctypes.data)
        return dict(zip(FIGURES, out.tolist(), strict=True)) if np.isfinite(out).all() else None

    def _source(self, start: int, stop: int) -> tuple[Array, int]:
        if self.match.in_order and self.tensor.dtype == np.uint16 and self.tensor.flags.c_contiguous:
            return self.tensor.reshape(self.match.stored.rows, -1)[start:stop], native.BFLOAT16
        return np.ascontiguousarray(self.match.source_rows(self.tensor, start, stop), np.float32), native.FLOAT32


def compiled(match: Match, tensor: Array) -> Compiled | None:
    """Return the comparison of a weight; None if it is of another kind, or nothing is compiled.

    Args:
        match: the weight, held to the plain bounds of its integers.
        tensor: its source in the checkpoint, bfloat16 as uint16.
    """
    lib, stored = native.load(), match.stored
    plain = not (match.form.function or match.slack or match.beside is not None)
    if lib is None or not plain or not stored.scaled_by_group or stored.element not in elements.INTEGERS:
        return None
    return Compiled(lib, match, tensor, integer_rule(stored))

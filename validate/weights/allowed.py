"""How far a de-quantized weight may lie from its source: the bound that its own scheme sets, element by element.

Integers, with a step s = |scale|: rounding to the nearest level costs s/2. A symmetric scheme clips one end: s = max|w| / 2^(b-1)
puts the extreme on level -2^(b-1), and a value of the other sign near that extreme has only level 2^(b-1) - 1: up to s. The
stored scale is rounded (float16: 2^-11, or 2^-25 where it is subnormal), which the level multiplies; half a step is half of the
one before that.

Small floats and codebooks: half the wider gap to the neighboring level, times the scale; at the outermost level what the
rounding of the scale leaves outside.

The step itself must be the source's: |scale| counts up to what the group's own range justifies. A scale that is too large would
otherwise allow its own error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtimes import elements
from .constant import StoredWeight, element_of, shape_of

Array = npt.NDArray[Any]
_HALF_ULP = {"bf16": 2.0**-9, "f16": 2.0**-12, "f32": 2.0**-24, "f64": 0.0}
_SCALE_ROUNDING = {"bf16": 2.0**-9, "f16": 2.0**-11, "f32": 0.0, "f8e4m3": 2.0**-4, "f8e5m2": 2.0**-3, "f8e8m0": 0.0}
_SUBNORMAL = 2.0**-25
"""Half the distance of float16's smallest numbers."""
LARGER, SMALLER = 1.5, 0.5
"""Scale estimation was seen to choose 0.69 to 1.19 times the scale that a group's range gives."""
_LEAST = 2.0**-22
"""What a step may always be, however small its group."""
_SLACK = 1.01
"""For float32 arithmetic in another order."""


def error_bound(
    stored: StoredWeight,
    levels: Array,
    scale: Array | None,
    source: Array,
    *,
    exact: bool,
    reach: float = 1.0,
) -> Array:
    """Return the largest error that each element may have, float32, of a shape that broadcasts to the levels.

    Args:
        stored: how the weight is stored.
        levels: values less zero points, in the stored shape.
        scale: broadcasts to the levels; None for weights that are stored as they are.
        source: the checkpoint's values in the stored shape.
        exact: the element type is the checkpoint's own, so nothing may differ.
        reach: how many times the range of its groups justifies a scale may be.
    """
    if scale is None or stored.element in elements.FLOATS:  # floats that are but multiplied by a number have no levels
        if exact and scale is None:
            return np.zeros(1, np.float32)
        spread: Array = np.abs(source) * np.float32(2 * _HALF_ULP.get(stored.element, 2.0**-4))
        bound: Array = spread + np.float32(_SUBNORMAL if stored.element == "f16" else 1e-38)
        return bound
    rounding = _rounding(stored)
    of = _of_integers if stored.element in elements.INTEGERS and stored.codebook is None else _of_levels
    return of(stored, levels, scale, source, rounding, reach=reach)


def cut_off(held: Array, source: Array) -> Array:
    """Return what elements may lack that lie further out than the outermost one that their group holds.

    It is for scales that were chosen by what a weight does, down to SMALLER of what the group's range gives. Arrays in the stored
    shape, de-quantized.
    """
    above = (held == held.max(axis=-1, keepdims=True)) & (source > held)
    below = (held == held.min(axis=-1, keepdims=True)) & (source < held)
    most: Array = np.abs(source).max(axis=-1, keepdims=True) * np.float32(1 - SMALLER)
    return np.where(above | below, most, np.float32(0))


def _of_integers(
    stored: StoredWeight, levels: Array, scale: Array, source: Array, rounding: float, *, reach: float
) -> Array:
    rule = integer_rule(stored)
    if rule.symmetric:
        justified = np.abs(source).max(axis=-1, keepdims=True) / rule.range
    else:
        span = np.maximum(source.max(axis=-1, keepdims=True), 0) - np.minimum(source.min(axis=-1, keepdims=True), 0)
        justified = span / rule.range
    step = _step(scale, justified * np.float32(reach), levels, rounding)
    half = np.asarray(step * np.float32(rule.half) + np.float32(rule.half_more), np.float32)
    bound: Array = np.abs(levels)
    bound *= step * rounding + rule.rounding_more
    bound += half  # the levels were chosen with the scale that was not rounded yet
    if rule.symmetric:
        bound += np.where(levels == rule.top, half, 0)
    return bound


@dataclass(frozen=True)
class IntegerRule:
    """The numbers in the bound of an integer weight, for whoever computes it (`fits.c`).

    With s = |scale|, cut to `wider` times what the range of its group justifies plus `least`, an element of level l may be off by
    |l| (s `rounding` + `rounding_more`) + h, h = s `half` + `half_more`, and by h more on the level `top` of a symmetric scheme.

    Attributes:
        symmetric: the range of a group is that of its magnitudes; else it reaches from the least to the largest, and over zero.
        range: steps that it is worth.
    """

    symmetric: bool
    range: int
    top: int
    rounding: float
    rounding_more: float = _SUBNORMAL
    half_more: float = 0.5 * _SUBNORMAL
    least: float = _LEAST

    @property
    def half(self) -> float:
        """Of a step."""
        return 0.5 * _SLACK + 0.5 * self.rounding

    @property
    def wider(self) -> float:
        """Times the step that a range justifies."""
        return _SLACK + self.rounding


def integer_rule(stored: StoredWeight) -> IntegerRule:
    """Return the rule of a weight that is stored as integers."""
    half_range = 2 ** (elements.INTEGERS[stored.element] - 1)
    # one zero point for all: u2 and u3 about their middle
    symmetric = stored.zero_point is None or math.prod(shape_of(stored.zero_point)) == 1
    return IntegerRule(
        symmetric, half_range - 1 if symmetric else 2 * half_range - 1, half_range - 1, _rounding(stored)
    )


def _rounding(stored: StoredWeight) -> float:
    """Return what the rounding of its scales does to a weight, relative."""
    return math.fsum(_SCALE_ROUNDING.get(element_of(part), 0.0) for part in stored.scales)


def _of_levels(
    stored: StoredWeight, levels: Array, scale: Array, source: Array, rounding: float, *, reach: float
) -> Array:
    table = np.unique(_table(stored))
    table = table[np.isfinite(table)]
    gaps = np.diff(table)
    below = np.append(gaps[:1], gaps)
    above = np.append(gaps, gaps[-1:])
    half = np.maximum(below, above) / 2
    top = float(np.abs(table).max())
    # an exponent of two as scale: the extreme lies between the top level and the next power of two
    powers = any(element_of(part) == "f8e8m0" for part in stored.scales)
    outside = 2.0 ** (np.floor(np.log2(top)) + 1) - top if powers else top * rounding
    half[[0, -1]] += outside
    place = np.clip(np.searchsorted(table, levels), 0, len(table) - 1)
    furthest = min(-float(table[0]), float(table[-1])) if table[0] < 0 else top
    justified = np.abs(source).max(axis=-1, keepdims=True) / furthest * (2.0 if powers else 1.0)
    step = _step(scale, justified * np.float32(reach), levels, rounding)
    bound: Array = half[place].astype(np.float32)
    bound *= step * (_SLACK + rounding) + np.float32(_SUBNORMAL)
    bound += np.abs(levels) * (step * rounding + _SUBNORMAL)
    return bound


def _step(scale: Array, justified: Array, levels: Array, rounding: float) -> Array:
    """Return |scale|, cut to what the source's range justifies where each group along the last axis has its own scale."""
    step: Array = np.abs(scale)
    if step.shape == (*levels.shape[:-1], 1):
        step = np.minimum(step, justified * (_SLACK + rounding) + np.float32(_LEAST))
    return step


def _table(stored: StoredWeight) -> Array:
    if stored.codebook is None:
        return elements.levels(stored.element)
    return elements.decode(stored.codebook.data, element_of(stored.codebook), 0, math.prod(shape_of(stored.codebook)))

"""How far a weight of a GGUF may lie from its source, element by element, by the rule of its type.

A group of weights shares a step and a range of levels. Quantizers search for step and range (`ggml-quants.c`: make_qkx2_quants,
make_qx_quants, with an importance matrix others), but whatever they choose, each weight then goes to the level nearest to it:
half a step, or, beyond the range, the way to its end, however far: an importance matrix may give up weights that do not count.
q4_0 to q5_1 keep levels that were found with another scale if there is one: `_STALE` steps more, and `_STALE_WEIGHTED`.
A group whose step is 0 must have weights below what its super-block's unit can tell from 0.

Scales and minima are float16. K-quants choose the levels after that rounding; the others before, so that a level of n is n times
the rounding off: 2^-11 of the scale, or 2^-25 where it is subnormal (a block of 32 weights below 0.0077 in q8_0, as real models
have).

So a scale of another block, a shifted level, or a changed minimum shows, and the importance matrix need not be known.
What it gives up is bounded by the RMS of the tensor (`RMS`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...quantize.ggml.types import TYPES

Array = npt.NDArray[Any]
_HALF = 0.502
"""Half a step, and float32 arithmetic in another order."""
_STALE = 0.5
"""Steps by which a level may not be the nearest where the scale was set after the levels."""
_STALE_WEIGHTED = 0.125
"""The same in ranges, if the file says that it was made with an importance matrix."""
_ROUNDING = 2.0**-11
"""Relative, of a float16 scale."""
_SUBNORMAL = 2.0**-25
"""Half the distance of float16's smallest numbers."""
_FLOAT32 = 2.0**-21
"""Relative, of sums and products in float32 in another order."""
_FITTED = 2.0
"""Least squares may halve a scale that they fit, not more: each level n >= 1 stands for n - 1/2 to n + 1/2."""
_LARGEST_SCALE = 128
"""The largest multiple of a super-block's unit that a group's scale is."""
_FLOATS = {"f32": (0.0, 0.0), "f16": (2.0**-11, _SUBNORMAL), "bf16": (2.0**-8, 1e-38)}
"""Relative and absolute rounding."""
RMS = {1: 0.7, 2: 0.5, 3: 0.3, 4: 0.2, 5: 0.1, 6: 0.05, 8: 0.02}
"""Relative RMS error that a tensor may have, by its type's bits: one and a half times what rounding costs the worst of them."""
_IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
"""`kvalues_iq4nl`."""
_IQ4_TRIED = 149
"""An extreme is tried at up to 7 beyond the outermost level; least squares move it by the half of the widest gap at most."""


@dataclass(frozen=True)
class Groups:
    """The groups of some blocks, each array [groups, 1] or a number.

    Attributes:
        size: weights of a group.
        step: between neighboring levels.
        low, high: ends of the range.
        unit: half of what scale and minimum are rounded to, times the highest level: how far outside a weight may lie where
            the step is 0.
        drift: what the rounding of scale and minimum moves the outermost level by.
        stale: what a level may be off by, in steps, if the importance of weights was looked at.
        levels: multiples of the step if they are not evenly spaced.
    """

    size: int
    step: Array
    low: Array
    high: Array
    unit: Array
    drift: Array
    stale: float = 0.0
    levels: Array | None = None


def error_bound(kind: str, data: Array, source: Array, *, exact: bool, weighted: bool = False) -> Array | None:
    """Return the largest error that each element may have, float32 [rows, cols]; None for a type without a rule here.

    Args:
        kind: ggml's name of the type.
        data: uint8 [rows, row bytes].
        source: float32 [rows, cols], what should be stored.
        exact: floating point of the checkpoint's own type, so nothing may differ.
        weighted: an importance matrix was used.
    """
    if kind in _FLOATS:
        relative, absolute = (0.0, 0.0) if exact else _FLOATS[kind]
        bound: Array = np.abs(source) * np.float32(relative) + np.float32(absolute)
        return bound
    if kind not in _GROUPS:
        return None
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is counted elsewhere
        return _of_groups(_GROUPS[kind](data.reshape(-1, TYPES[kind].bytes)), source, weighted)


def _of_groups(groups: Groups, source: Array, weighted: bool) -> Array:
    values = source.reshape(-1, groups.size)
    inside = np.clip(values, groups.low, groups.high)
    outside = np.abs(values - inside)
    unit = np.float32(_FITTED) * groups.unit
    outside = np.where(groups.step == 0, np.minimum(outside, unit), outside)
    stale = np.float32(groups.stale if weighted else 0)
    if groups.levels is None:
        near: Array = (np.float32(_HALF) + stale) * groups.step
    else:
        near = np.float32(1.005) * _to_level(inside, groups.step, groups.levels) + groups.drift
    if weighted and groups.stale:
        near = near + np.float32(_STALE_WEIGHTED) * (groups.high - groups.low)
    arithmetic = np.float32(_FLOAT32) * np.maximum(np.abs(groups.low), np.abs(groups.high))
    return np.asarray(near + outside + groups.drift + arithmetic, np.float32).reshape(source.shape)


def _to_level(values: Array, step: Array, levels: Array) -> Array:
    """Distance to the nearest `step * level`; a negative step turns the levels round, which are not symmetric."""
    scaled = values / np.where(step == 0, 1, step)
    middles = (levels[1:] + levels[:-1]) / 2
    distance: Array = np.abs(scaled - levels[np.searchsorted(middles, scaled)]) * np.abs(step)
    return distance


def _half(data: Array, at: int) -> Array:
    return np.ascontiguousarray(data[:, at : at + 2]).view(np.float16).astype(np.float32)


def _rounding(scale: Array) -> Array:
    """Return by how much numbers may be off that became these in float16, magnitudes."""
    return np.float32(_ROUNDING * 1.001) * scale + np.float32(_SUBNORMAL)


def _plain(bits: int, offset: bool) -> Callable[[Array], Groups]:
    """q4_0, q5_0, q8_0 (one scale), q4_1, q5_1 (scale and minimum)."""

    def groups(data: Array) -> Groups:
        scale = _half(data, 0)
        step, top = np.abs(scale), 2**bits - 1 if offset else 2 ** (bits - 1)
        drift = (top + 1) * _rounding(step)
        if offset:
            low = _half(data, 2)
            lowest = np.float32((top + 1) * _SUBNORMAL)
            return Groups(32, step, low, low + top * step, 0 * step + lowest, drift + _rounding(np.abs(low)), _STALE)
        ends = (-top * scale, (top - 1) * scale)
        stale = 0.0 if bits == 8 else _STALE  # q8_0 knows no importance
        unit = 0 * step + np.float32(top * _SUBNORMAL)
        return Groups(32, step, np.minimum(*ends), np.maximum(*ends), unit, drift, stale)

    return groups


def _q2_k(data: Array) -> Groups:
    codes = data[:, :16].astype(np.float32)
    scales, minima = np.mod(codes, 16), np.floor_divide(codes, 16)
    return _with_minimum(_half(data, 80), _half(data, 82), scales, minima, 3)


def _q45_k(top: int) -> Callable[[Array], Groups]:
    def groups(data: Array) -> Groups:
        from gguf.quants import Q4_K

        scales, minima = Q4_K.get_scale_min(np.ascontiguousarray(data[:, 4:16]))
        shape = (len(data), 8)
        return _with_minimum(_half(data, 0), _half(data, 2), scales.reshape(shape), minima.reshape(shape), top)

    return groups


def _with_minimum(scale: Array, unit: Array, scales: Array, minima: Array, top: int) -> Groups:
    step = np.abs(scale * scales.astype(np.float32)).reshape(-1, 1)
    low = -(unit * minima.astype(np.float32)).reshape(-1, 1)
    of_minimum = minima.astype(np.float32) * _rounding(np.abs(unit))
    rounded = (_untold(scale, top) + _untold(unit, 1) + of_minimum).reshape(-1, 1)
    return Groups(256 // scales.shape[1], step, low, low + top * step, rounded, _none(step))


def _untold(scale: Array, top: int) -> Array:
    """Return what a group may hold whose own scale became 0: below half of the unit, or all if that itself became 0.

    The search takes scales with which the extreme lies up to one level outside.
    """
    lost = np.where(scale == 0, np.float32(_LARGEST_SCALE * _SUBNORMAL), np.float32(0.5 * _SUBNORMAL))
    return np.asarray((top + 1) * (np.float32(0.5) * np.abs(scale) + lost), np.float32)


def _none(step: Array) -> Array:
    """Drift of a type whose levels were chosen with the rounded scale; float16's smallest numbers are its grain."""
    return np.asarray(0 * step + np.float32(_SUBNORMAL), np.float32)


def _q3_k(data: Array) -> Groups:
    raw = data[:, 96:108]
    low = np.concatenate([raw[:, :8] & 0x0F, raw[:, :8] >> 4], axis=1)
    high = np.concatenate([(raw[:, 8:12] >> shift) & 3 for shift in (0, 2, 4, 6)], axis=1)
    scales = (low | (high << 4)).astype(np.float32) - 32
    return _symmetric(_half(data, 108), scales, 4)


def _q6_k(data: Array) -> Groups:
    scales = np.ascontiguousarray(data[:, 192:208]).view(np.int8).astype(np.float32)
    return _symmetric(_half(data, 208), scales, 32)


def _symmetric(scale: Array, scales: Array, reach: int) -> Groups:
    signed = (scale * scales).reshape(-1, 1)
    ends = (-reach * signed, (reach - 1) * signed)
    rounded = np.repeat(_untold(scale, reach), scales.shape[1], axis=1).reshape(-1, 1)
    step = np.abs(signed)
    return Groups(256 // scales.shape[1], step, np.minimum(*ends), np.maximum(*ends), rounded, _none(step))


def _iq4_nl(data: Array) -> Groups:
    return _of_codebook(_half(data, 0), np.ones((len(data), 1), np.float32))


def _iq4_xs(data: Array) -> Groups:
    high = np.ascontiguousarray(data[:, 2:4]).view(np.uint16).astype(np.uint32)
    low = np.stack([data[:, 4 + i // 2] >> (4 * (i % 2)) & 0x0F for i in range(8)], axis=1)
    top = np.concatenate([(high >> (2 * i)) & 3 for i in range(8)], axis=1)
    return _of_codebook(_half(data, 0), (low | (top << 4)).astype(np.float32) - 32)


def _of_codebook(scale: Array, scales: Array) -> Groups:
    signed = (scale * scales).reshape(-1, 1)
    rounded = np.repeat(_untold(scale, _IQ4_TRIED), scales.shape[1], axis=1).reshape(-1, 1)
    rounded = rounded if scales.shape[1] > 1 else np.full_like(rounded, 127 * _SUBNORMAL)
    ends = (_IQ4[0] * signed, _IQ4[-1] * signed)
    drift = 127 * (_rounding(np.abs(scale)) * np.abs(scales)).reshape(-1, 1)
    return Groups(32, signed, np.minimum(*ends), np.maximum(*ends), rounded, drift, levels=_IQ4)


_GROUPS: dict[str, Callable[[Array], Groups]] = {
    "q4_0": _plain(4, offset=False),
    "q4_1": _plain(4, offset=True),
    "q5_0": _plain(5, offset=False),
    "q5_1": _plain(5, offset=True),
    "q8_0": _plain(8, offset=False),
    "q2_k": _q2_k,
    "q3_k": _q3_k,
    "q4_k": _q45_k(15),
    "q5_k": _q45_k(31),
    "q6_k": _q6_k,
    "iq4_nl": _iq4_nl,
    "iq4_xs": _iq4_xs,
}

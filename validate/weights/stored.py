"""How most weights of a graph are stored, counted from what the graph holds; a manifest's word decides nothing here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.dtypes import FLOATS
from ...core.manifest import Manifest, TensorEntry
from ...quantize.scheme import bits_of
from ...runtimes import elements
from .constant import StoredWeight, element_of, shape_of

_FLOATS = {"f64": "fp64"} | {kind.element: kind.precision for kind in FLOATS}
_BITS = elements.FLOATS | elements.INTEGERS | elements.TABLES
_SHARE = 5
"""A way of storing counts if one in so many weights is stored so."""


@dataclass(frozen=True)
class Mode:
    """A way of storing weights: its name as `quantize.modes` has it, where it has one, and the bits of one weight."""

    name: str
    bits: int


UNREADABLE = Mode("unreadable", 32)
"""Of an artifact that cannot be opened."""


def mode_of(weight: StoredWeight) -> Mode:
    """Tell how one weight is stored."""
    element = weight.element
    bits = _BITS.get(element, 32)
    if element in _FLOATS:
        return Mode(_FLOATS[element], bits)
    scales = {element_of(scale) for scale in weight.scales}
    if weight.codebook is not None:
        return Mode(f"cb{bits}", bits)
    if element in elements.INTEGERS:
        zero = weight.zero_point
        symmetric = zero is None or math.prod(shape_of(zero)) == 1  # one for all is the middle of the codes
        return Mode(f"int{bits}_{'sym' if symmetric else 'asym'}", bits)
    if element == "f4e2m1":
        return Mode("mxfp4" if "f8e8m0" in scales else "nvfp4" if "f8e4m3" in scales else "fp4", bits)
    if element in ("f8e4m3", "f8e5m2"):
        return Mode(("mxfp8_" if "f8e8m0" in scales else "fp8_") + element.removeprefix("f8"), bits)
    return Mode(element, bits)


def most(weights: Iterable[StoredWeight]) -> Mode:
    """Return the way of the fewest bits in which a fifth of the weights is stored, the commonest of these; fp32 for none."""
    sizes: Counter[Mode] = Counter()
    for weight in {weight.place: weight for weight in weights}.values():  # the same values may be used twice
        sizes[mode_of(weight)] += weight.size
    by_bits: Counter[int] = Counter()
    for mode, size in sizes.items():
        by_bits[mode.bits] += size
    fewest = min((bits for bits, size in by_bits.items() if size >= by_bits.total() / _SHARE), default=None)
    if fewest is None:
        return Mode("fp32", 32)
    return max((mode for mode in sizes if mode.bits == fewest), key=lambda mode: (sizes[mode], mode.name))


def untrue(manifest: Manifest, matched: Mapping[str, Sequence[Any]]) -> list[str]:
    """Name the tensors that the manifest says are stored in other bits than they are: "NAME: int2_sym, stored as int4_sym".

    Args:
        manifest: of the artifact.
        matched: the checkpoint's names and the weights that hold them, each with its `StoredWeight` as `stored`.
    """
    wrong = []
    for entry in manifest.tensors:
        held = [mode_of(one.stored) for one in matched.get(entry.name, ())]
        said = _said(entry)
        if held and said is not None and all(mode.bits != said for mode in held):
            wrong.append(f"{entry.name}: {entry.precision}, stored as {held[0].name}")
    return wrong


def _said(entry: TensorEntry) -> int | None:
    """Return the bits that an entry's precision has: the name of an element type, or of a mode."""
    if entry.precision in _BITS:
        return _BITS[entry.precision]
    return bits_of(entry.precision)

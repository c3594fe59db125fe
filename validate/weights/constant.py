"""One weight of a graph: the constants from which it is de-quantized."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.parallel import in_order
from ...runtimes import elements
from . import native

Array = npt.NDArray[Any]
_BYTES = {"i8": native.INT8, "u8": native.UINT8}
_OF_LAYER = re.compile(r"(^|\.)(layers\.\d+\.\w+|(classifier|out_proj)\.bias)(/convert)?$")
_MANY = 4
"""Blocks for which threads are worth starting."""


@dataclass
class StoredWeight:
    """A weight as the graph stores it: (values - zero point) * scales, values perhaps looked up in a codebook.

    Attributes:
        values: OpenVINO's Constant, often [rows, groups, group].
        shape: of the weight as the graph uses it.
        zero_point: Constant or None.
        scales: Constants that multiply the values, each broadcast to their shape.
        codebook: Constant of the levels that the values index, or None.
        names: of all the nodes from the values to the use, and of the users; the values' own first.
        turned: a square one lies as [columns, rows], which its shape cannot tell.
        unreadable: why the graph's expression is not of this form; such a weight is only listed, its values are not read.
    """

    values: Any
    shape: tuple[int, ...]
    zero_point: Any = None
    scales: list[Any] = field(default_factory=list)
    codebook: Any = None
    names: list[str] = field(default_factory=list)
    unreadable: str | None = None
    turned: bool = False

    @cached_property
    def name(self) -> str:
        """The values' name in the graph."""
        return str(self.values.get_friendly_name())

    @property
    def place(self) -> str:
        """What tells one constant of values from another in the process; two weights of one place are two uses of it."""
        unique = getattr(self.values, "get_name", self.values.get_friendly_name)
        return str(unique())

    @cached_property
    def element(self) -> str:
        """The values' element type, OpenVINO's name."""
        return element_of(self.values)

    @cached_property
    def stored_shape(self) -> tuple[int, ...]:
        """The values' own shape; the last dimension is a group where there are groups."""
        return shape_of(self.values)

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.stored_shape)

    @property
    def rows(self) -> int:
        """Length of the leading dimension."""
        return self.stored_shape[0] if self.stored_shape else 1

    def levels(self, start: int, stop: int) -> Array:
        """Return values less zero points of rows [start, stop), float32, in the stored shape."""
        values = self._part(self.values, start, stop)
        if self.codebook is not None:
            table = _whole(self.codebook).reshape(-1)
            values = table[values.astype(np.int64)]
        zero = self.zero(start, stop)
        return values if zero is None else np.subtract(values, zero, out=values)

    def zero(self, start: int, stop: int) -> Array | None:
        """Return the zero points of rows [start, stop), float32, which broadcast to the values; None: none."""
        return None if self.zero_point is None else self._part(self.zero_point, start, stop)

    def scale(self, start: int, stop: int) -> Array | None:
        """Return the product of the scales of rows [start, stop), float32, which broadcasts to the levels; None: none."""
        product: Array | None = None
        for scale in self.scales:
            part = self._part(scale, start, stop)
            product = part if product is None else product * part
        return product

    def weights(self, start: int, stop: int) -> Array:
        """Return rows [start, stop), de-quantized in float32, in the stored shape."""
        levels, scale = self.levels(start, stop), self.scale(start, stop)
        return levels if scale is None else levels * scale

    def whole(self) -> Array:
        """Return the weight in the shape in which the graph uses it, float32; made in blocks, so that it is the only copy.

        A weight of many blocks is made on as many threads as there are cores.
        """
        out = np.empty(self.stored_shape, np.float32)
        flat = out if out.ndim else out.reshape(1)

        def fill(start: int, stop: int) -> None:
            if not self._fill(flat[start:stop], start, stop):
                flat[start:stop] = self.weights(start, stop)

        blocks = self.blocks()
        if len(blocks) < _MANY:
            for block in blocks:
                fill(*block)
        else:
            for _ in in_order((fill, *block) for block in blocks):
                pass
        return out.reshape(self.shape)

    def _fill(self, out: Array, start: int, stop: int) -> bool:
        """Write rows [start, stop), de-quantized, by the compiled function; False if it does not take such a weight."""
        lib = native.load() if self.scaled_by_group and self.element in _BYTES else None
        packed = self.packed(start, stop) if lib else None
        if lib is None or packed is None:
            return False
        lib.ec_values(*packed.arguments, out.ctypes.data)
        return True

    @property
    def scaled_by_group(self) -> bool:
        """True if each group along the last axis has its own scale, and a level is the value itself."""
        each = (*self.stored_shape[:-1], 1)
        plain = self.codebook is None and len(self.stored_shape) > 1 and bool(self.scales)
        return plain and all(shape_of(scale) == each for scale in self.scales)

    def packed(self, start: int, stop: int) -> native.Packed | None:
        """Return rows [start, stop) of a weight that is `scaled_by_group`, for compiled functions; None: not of this form."""
        rows, groups, group = stop - start, math.prod(self.stored_shape[1:-1]), self.stored_shape[-1]
        scale, zero = (
            self._of_groups(part, rows, groups) for part in (self.scale(start, stop), self.zero(start, stop))
        )
        if scale is None:
            return None
        kind = _BYTES.get(self.element)
        if kind is None or (zero is None and self.zero_point is not None):
            levels = np.ascontiguousarray(self.levels(start, stop), np.float32)
            return native.Packed(levels, native.FLOAT32, scale, None, (rows, groups, group))
        flat = self.values.data.reshape(-1).view(np.uint8)[start * groups * group : stop * groups * group]
        return native.Packed(flat, kind, scale, zero, (rows, groups, group))

    @staticmethod
    def _of_groups(values: Array | None, rows: int, groups: int) -> Array | None:
        """Spread what belongs to groups, rows or all to float32 [rows, groups]; None if it belongs to single elements."""
        if values is None or (values.ndim and values.shape[-1] != 1):
            return None
        each = values.reshape(len(values) if values.ndim else 1, -1)
        return np.ascontiguousarray(np.broadcast_to(each, (rows, groups)))

    def blocks(self, elements_at_once: int = 1 << 20) -> list[tuple[int, int]]:
        """Cut the rows into ranges of about so many elements."""
        step = max(1, elements_at_once * self.rows // max(self.size, 1))
        return [(start, min(start + step, self.rows)) for start in range(0, self.rows, step)]

    def _part(self, constant: Any, start: int, stop: int) -> Array:
        """Return the rows of a constant, or all of one that is the same for every row."""
        shape = shape_of(constant)
        if len(shape) != len(self.stored_shape) or not shape or shape[0] != self.rows:
            return _whole(constant)
        stride = math.prod(shape[1:])
        flat = elements.decode(constant.data, element_of(constant), start * stride, stop * stride)
        return flat.reshape(stop - start, *shape[1:])


def is_weight(name: str, shape: Sequence[int]) -> bool:
    """Tell a weight from a graph's own numbers.

    It has several elements, or one and the name of a layer (Gemma 4's scalars), or of the bias of a single score.
    """
    return math.prod(shape) > 1 or (tuple(shape) == (1,) and _OF_LAYER.search(name) is not None)


def shape_of(node: Any) -> tuple[int, ...]:
    """Return a node's static shape."""
    return tuple(int(n) for n in node.get_output_shape(0))


def element_of(node: Any) -> str:
    """Return the name of a node's element type."""
    return str(node.get_output_element_type(0).get_type_name())


def _whole(constant: Any) -> Array:
    shape = shape_of(constant)
    return elements.decode(constant.data, element_of(constant), 0, math.prod(shape)).reshape(shape)

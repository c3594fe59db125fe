"""Write an IR whose weights never stand in memory: the graph carries stand-ins, the .xml gets the real offsets.

A stand-in is a constant of the right type and shape over one shared block of zeros, which costs no memory. OpenVINO itself
serializes the graph (its .bin goes to /dev/null); then every constant's offset is replaced by that of our own layout.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .tensor_layout import Constant, TensorLayout

ALIGNMENT = 64
"""Bytes; a constant begins on a cache line, so that the runtime can use the mapped file as it is."""

_CONST = re.compile(
    r'(<layer id="\d+" name="(?P<name>[^"]*)" type="Const"[^>]*>\s*<data [^>]*?)offset="\d+" size="(?P<size>\d+)"'
)

_CONVERT = re.compile(r'(<layer id="\d+" name="[^"]*/convert" type="Convert"[^>]*>\s*<data destination_type="f32" />)')
_DECOMPRESSION = r'\1\n\t\t\t<rt_info>\n\t\t\t\t<attribute name="decompression" version="0" />\n\t\t\t</rt_info>'


class StandIns:
    """Supplies the graph builder with de-quantized weights whose constants hold no data."""

    def __init__(self, table: dict[str, TensorLayout]) -> None:
        self.table = table
        largest = max(part.size for stored in table.values() for part in stored.parts)
        # mapped, and for reading only: allocated zeros would count against a limit on memory though nothing ever fills them
        zeros = mmap.mmap(-1, largest + 4, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._zeros: npt.NDArray[np.uint8] = np.frombuffer(zeros, np.uint8)
        self._outputs: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        """Return the float32 output of a tensor; the same node for the same name."""
        if name not in self._outputs:
            self._outputs[name] = dequantized(self.table[name], self._constant)
        return self._outputs[name]

    def _constant(self, part: Constant) -> Any:
        from openvino import Tensor, Type, opset13

        tensor = Tensor(self._zeros[: part.size], list(part.shape), getattr(Type, part.element))
        return opset13.constant(tensor, shared_memory=True, name=part.name)


def dequantized(stored: TensorLayout, constant: Any) -> Any:
    """Build the subgraph constants → float32 [shape], as NNCF builds it.

    For a convolution the product is taken in float32: it is folded when the model is compiled, and would be rounded to float16.
    """
    from openvino import opset13 as ops

    if stored.assignment.mode is None:
        value = constant(stored.values)
        return (
            value if stored.values.element == "f32" else ops.convert(value, np.float32, name=f"{stored.name}/convert")
        )
    name = stored.name
    kind = np.float32 if len(stored.shape) > 3 else np.float16
    value = ops.convert(constant(stored.values), kind)
    if stored.zero_point:
        zero = ops.convert(constant(stored.zero_point), kind)
        value = ops.subtract(value, zero, name=f"{name}/zero_point/subtract")
    scale = constant(stored.scale)
    if kind is np.float32:
        return ops.multiply(value, ops.convert(scale, kind), name=f"{name}/fq_weights")
    value = ops.multiply(value, scale, name=f"{name}/fq_weights")
    if stored.assignment.group_size != -1:
        value = ops.reshape(value, ops.constant(list(stored.shape), np.int64), special_zero=False)
    return ops.convert(value, np.float32, name=f"{name}/convert")


def operations(model: Any) -> Iterator[Any]:
    """Give the operations of a graph in order; behind a loop those of its body."""
    for node in model.get_ordered_ops():
        yield node
        if node.get_type_name() == "Loop":
            yield from operations(node.get_function())


def name_nodes(model: Any) -> None:
    """Give the nodes that OpenVINO numbers on its own a number that depends on the graph alone."""
    counts: dict[str, int] = {}
    for node in operations(model):
        kind = node.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", node.get_friendly_name()):
            counts[kind] = counts.get(kind, 0) + 1
            node.set_friendly_name(f"{kind}_{counts[kind]}")


@dataclass(frozen=True)
class Layout:
    """Where everything lies in the .bin: tensors first, then the graph's small constants."""

    offsets: dict[str, int]
    small: list[tuple[int, bytes]]
    size: int


def lay_out(model: Any, tensors: list[TensorLayout]) -> Layout:
    """Fix the offset of every constant of the graph, by name."""
    offsets: dict[str, int] = {}
    position = 0
    for part in (part for stored in tensors for part in stored.parts):
        position = _aligned(position)
        offsets[part.name] = position
        position += part.size
    small: list[tuple[int, bytes]] = []
    known: dict[bytes, int] = {}
    for node in operations(model):
        if node.get_type_name() != "Constant" or node.get_friendly_name() in offsets:
            continue
        data = np.ascontiguousarray(node.data).tobytes()
        if data not in known:
            position = _aligned(position)
            known[data] = position
            small.append((position, data))
            position += len(data)
        offsets[node.get_friendly_name()] = known[data]
    return Layout(offsets, small, position)


def write_xml(model: Any, layout: Layout, path: Path) -> None:
    """Serialize the graph with the layout's offsets."""
    import openvino as ov

    ov.serialize(model, str(path), "/dev/null")
    seen = set()

    def place(match: re.Match[str]) -> str:
        seen.add(match["name"])
        return f'{match[1]}offset="{layout.offsets[match["name"]]}" size="{match["size"]}"'

    path.write_text(_CONST.sub(place, path.read_text("utf-8")), "utf-8")
    mark_decompression(path)
    if seen != set(layout.offsets):
        raise AssertionError(f"constants without a place in the .xml: {sorted(set(layout.offsets) ^ seen)[:3]}")


def mark_decompression(path: Path) -> None:
    """Mark the conversions of weights to float32 as decompression, an attribute that Python cannot set on a node.

    Without it the CPU plugin de-quantizes in float16 before the product when it is asked for ACCURACY.
    """
    path.write_text(_CONVERT.sub(_DECOMPRESSION, path.read_text("utf-8")), "utf-8")


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT

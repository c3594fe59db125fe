"""An ONNX model of any tool's making: its graph and its mapped weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.dtypes import FLOATS
from ..core.errors import ArtifactError
from ..core.paths import own_file
from . import elements

Array = npt.NDArray[Any]
_HINT = "Convert the checkpoint again."
_ELEMENTS = {1: "f32", 2: "u8", 3: "i8", 10: "f16", 11: "f64", 16: "bf16", 21: "u4", 22: "i4"}
"""`onnx.TensorProto.DataType`, for what weights are made of."""
_NUMPY = {"f64": np.float64, "i8": np.int8} | {kind.element: kind.numpy for kind in FLOATS}
_BITS = elements.FLOATS | elements.INTEGERS


class Constant:
    """An initializer, with the methods of an `openvino` Constant that `StoredWeight` asks for."""

    def __init__(self, name: str, element: str, shape: tuple[int, ...], data: Array) -> None:
        """Take the values; of less than 8 bits packed, low bits first."""
        self.name, self.element, self.shape, self.data = name, element, shape, data

    def get_friendly_name(self) -> str:
        """Return its name."""
        return self.name

    def get_output_shape(self, _port: int) -> tuple[int, ...]:
        """Return its shape."""
        return self.shape

    def get_output_element_type(self, _port: int) -> Constant:
        """Return what knows the element type's name: itself."""
        return self

    def get_type_name(self) -> str:
        """Return OpenVINO's name of the element type."""
        return self.element

    def shaped(self, shape: tuple[int, ...], element: str | None = None) -> Constant:
        """Return the same values under another shape, or read as another type."""
        return Constant(self.name, element or self.element, shape, self.data)


@dataclass
class OnnxGraph:
    """An opened model: `proto` without its weights, `constants` by name, views of the mapped files."""

    path: Path
    proto: Any
    constants: dict[str, Constant]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [value.name for value in self.proto.graph.input]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [value.name for value in self.proto.graph.output]

    @property
    def shapes(self) -> dict[str, list[int]]:
        """Dimensions of the inputs; 0 for one that may have any size."""
        return {
            value.name: [int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
            for value in self.proto.graph.input
        }

    def dimension(self, output: str, axis: int) -> int | None:
        """Return a dimension of an output; None if it may have any size, or there is no such output."""
        for value in self.proto.graph.output:
            dims = value.type.tensor_type.shape.dim
            if value.name == output and len(dims) > 0:
                return int(dims[axis].dim_value) or None
        return None


def open_graph(path: Path) -> OnnxGraph:
    """Open a model and map what it keeps outside.

    Raises:
        ArtifactError: the file is damaged, or weights lie outside the folder or beyond the end of their file.
    """
    import onnx

    if not path.is_file():
        raise ArtifactError(f"{path} is missing.", _HINT)
    try:
        proto = onnx.load_model(path, format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf's own class moves between versions
        raise ArtifactError(f"{path} is not an ONNX model: {_last_line(error)}.", _HINT) from error
    _require_arity(path, proto)
    _require_order(path, proto)
    files: dict[str, Array] = {}
    constants = {}
    for tensor in proto.graph.initializer:
        element = _ELEMENTS.get(tensor.data_type)
        if element:
            constants[tensor.name] = _constant(tensor, element, path.parent, files)
    return OnnxGraph(path, proto, constants)


def _require_order(path: Path, proto: Any) -> None:
    """Whoever follows the graph comes to an end: each value is made once, before it is used (as ONNX demands)."""
    names = [name for node in proto.graph.node for name in node.output if name]
    made, known = set(names), set()
    if len(made) < len(names):
        raise ArtifactError(f"{path}: a value of the graph is made by two nodes.", _HINT)
    for node in proto.graph.node:
        if any(name in made and name not in known for name in node.input):
            raise ArtifactError(f"{path}: {node.op_type} {node.name} uses what is made after it.", _HINT)
        known.update(node.output)


_LEAST = {
    "MatMulNBits": 3,
    "DequantizeLinear": 2,
    "Gather": 2,
    "MatMul": 2,
    "Gemm": 2,
    "Transpose": 1,
    "Cast": 1,
    "Sub": 2,
    "Mul": 2,
}
"""Inputs that a node must have, for the operators whose inputs we follow; every node has an output."""


def _require_arity(path: Path, proto: Any) -> None:
    for node in proto.graph.node:
        least = _LEAST.get(node.op_type, 0)
        if len(node.input) < least or not node.output:
            raise ArtifactError(
                f"{path}: {node.op_type} {node.name} has {len(node.input)} inputs and {len(node.output)} outputs; it needs "
                f"{least} and 1.",
                _HINT,
            )


def _constant(tensor: Any, element: str, folder: Path, files: dict[str, Array]) -> Constant:
    import onnx

    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0:
        raise ArtifactError(f"The shape of {tensor.name} is {list(shape)}.", _HINT)
    size = (math.prod(shape) * _BITS[element] + 7) // 8
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raw = _external(tensor, size, folder, files)
    elif tensor.raw_data:
        raw = np.frombuffer(tensor.raw_data, np.uint8)
    else:
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except Exception as error:  # the library's own, and numpy's: fewer values than the shape says
            raise ArtifactError(f"The values of {tensor.name} cannot be read: {_last_line(error)}.", _HINT) from error
        raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    if raw.size != size:
        raise ArtifactError(f"{tensor.name} has {raw.size} bytes where its shape needs {size}.", _HINT)
    return Constant(tensor.name, element, shape, raw.view(_NUMPY.get(element, np.uint8)))


def _external(tensor: Any, size: int, folder: Path, files: dict[str, Array]) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if location not in files:
        own_file(
            folder, location, ArtifactError, whose=f"The place of the weights of {tensor.name}", hint=_HINT, linked=True
        )
        full = (folder / location).stat().st_size > 0  # nothing cannot be mapped
        files[location] = np.memmap(folder / location, np.uint8, "r") if full else np.zeros(0, np.uint8)
    try:
        start = int(entries.get("offset", 0))
        length = int(entries.get("length", size))
    except ValueError as error:
        raise ArtifactError(f"The place of {tensor.name} in {location} is not a number.", _HINT) from error
    if start < 0 or length < 0 or start + length > len(files[location]):
        raise ArtifactError(f"{folder / location} ends before {tensor.name}.", _HINT)
    if start % 8 and length:
        return np.array(files[location][start : start + length])
    return files[location][start : start + length]


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")

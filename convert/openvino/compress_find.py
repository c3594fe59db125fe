"""The weights of an OpenVINO graph that NNCF would compress, found without NNCF.

Source: NNCF 3.4.0, `openvino/graph/nncf_graph_builder.py` (which input of an operation is a constant), `openvino/graph/
metatypes/openvino_metatypes.py::_is_embedding`, `openvino/quantization/ignored_patterns.py::create_rope` and
`weight_compression/algorithm.py::get_weight_compression_parameters`. tests/convert/openvino/test_compress_find.py compares
the outcome with that of NNCF's own code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...quantize.assign import Role, Weight

_WEIGHTED = (
    "MatMul", "Gather", "GroupedMatMul", "Convolution", "ConvolutionBackpropData", "GroupConvolution",
    "GroupConvolutionBackpropData",
)  # fmt: skip
_TRANSPARENT = ("Convert", "FakeQuantize", "FakeConvert", "Reshape")
_MOVING = ("Transpose", "Concat", "Reshape", "Unsqueeze", "Squeeze", "Tile", "Broadcast", "Gather", "Slice")
_FLOATS = ("f16", "bf16", "f32", "f64")
_EMBEDDING_INPUTS = ("f16", "f32", "f64")


class NotOurs(Exception):  # noqa: N818 - a reason to let NNCF do it, not an error
    """A weight whose layout our quantizer does not handle."""


@dataclass(frozen=True)
class Compressible:
    """A constant that holds a weight; of a matrix [rows, columns], groups run along the columns.

    `port` is the input of the (first) consumer that it feeds, which NNCF puts into the names of its nodes.
    """

    weight: Weight
    node: Any
    port: int


def find(model: Any, *, matrices: bool = True) -> list[Compressible]:
    """Return the weights in topological order, each constant once.

    Args:
        model: an `openvino.Model`.
        matrices: every weight must be a matrix with an output channel a row; else any layout will do.

    Raises:
        NotOurs: one is no such matrix.
    """
    found: dict[str, Compressible] = {}
    uses = [use for use in _uses(model) if not _feeds_rope(use[0])]
    for operation, port, constant in uses:
        name = constant.get_friendly_name()
        if name not in found:
            role: Role = "embedding" if operation.get_type_name() == "Gather" else "matmul"
            shape = _matrix(operation, port, constant) if matrices else tuple(constant.get_output_shape(0))
            found[name] = Compressible(Weight(name, shape, role), constant, port)
    if uses:
        last = uses[-1][2].get_friendly_name()
        found[last] = replace(found[last], weight=replace(found[last].weight, is_last=True))
    return list(found.values())


def _uses(model: Any) -> list[tuple[Any, int, Any]]:
    """List (operation, port, constant) wherever a weighted operation reads a floating-point constant."""
    variable: set[str] = set()  # names of the nodes that depend on an input or a state
    uses = []
    for node in model.get_ordered_ops():
        sources = [value.get_node() for value in node.input_values()]
        kind = node.get_type_name()
        varies = [source.get_name() in variable for source in sources]
        if kind in ("Parameter", "ReadValue") or any(varies):
            variable.add(node.get_name())
        if kind not in _WEIGHTED or not any(varies) or (kind == "Gather" and not _is_embedding(node)):
            continue
        for port, source in enumerate(sources):
            constant = None if varies[port] else _constant(source)
            if constant is not None and constant.get_element_type().get_type_name() in _FLOATS:
                uses.append((node, port, constant))
    return uses


def _is_embedding(gather: Any) -> bool:
    table = gather.input_value(0)
    return table.get_element_type().get_type_name() in _EMBEDDING_INPUTS and _constant(table.get_node()) is not None


def _constant(node: Any) -> Any:
    """Follow conversions up to a constant; None if there is none."""
    while node.get_type_name() in _TRANSPARENT:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def _matrix(operation: Any, port: int, constant: Any) -> tuple[int, int]:
    """Return [rows, columns] if each row is one output channel (or one embedding), read straight or through a Convert."""
    kind, name = operation.get_type_name(), constant.get_friendly_name()
    shape = tuple(constant.get_output_shape(0))
    source = operation.input_value(port).get_node()
    direct = source.get_type_name() == "Constant" or source.input_value(0).get_node().get_type_name() == "Constant"
    if kind == "MatMul":
        attributes = operation.get_attributes()
        fits = port == 1 and attributes["transpose_b"] and not attributes["transpose_a"]
    else:
        fits = kind == "Gather" and port == 0
    if not (fits and direct and len(shape) == 2 and source.get_type_name() in ("Constant", "Convert")):
        raise NotOurs(f"{name} is {list(shape)}, read by a {kind}")
    return shape[0], shape[1]


def rope_products(model: Any) -> list[str]:
    """Return the names of the products positions × inverse frequencies.

    NNCF knows those that a Transpose and a Concat lead to Cos and Sin, and would compress the frequencies of others
    (Cohere's): float16 scales turn them by whole radians at position 4,000.
    """
    return [operation.get_friendly_name() for operation, _, _ in _uses(model) if _feeds_rope(operation)]


def _feeds_rope(product: Any) -> bool:
    """True if a product of two matrices leads to Cos and Sin by operations that only move values about."""
    if product.get_type_name() != "MatMul":
        return False
    reached, ends = [product], set()
    while reached:
        for reader in _consumers(reached.pop()):
            kind = reader.get_type_name()
            if kind in _MOVING:
                reached.append(reader)
            else:
                ends.add(kind)
    return {"Cos", "Sin"} <= ends


def _consumers(node: Any) -> list[Any]:
    return [target.get_node() for target in node.output(0).get_target_inputs()]

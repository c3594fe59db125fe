"""A graph whose products are in float32: every MatMulNBits becomes DequantizeLinear, Transpose and MatMul.

onnxruntime's kernels for MatMulNBits round activations to 8 bits, or add up in an order of their own. The same weights,
de-quantized into constants when the model is loaded, compute what the artifact means. The bytes of the weights stay where they
are: uint4 in rows is what MatMulNBits has in blocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_FLOAT32 = 1
"""Of the accuracy_level of MatMulNBits and QMoE."""
_SUFFIX = "/exact"


def make_exact(model: Any) -> bool:
    """Rewrite a model (`onnx.ModelProto`, weights outside or inside); return False if there was nothing to do."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    changed = False
    for node in model.graph.node:
        made = _rewritten(node, model.graph, found) if node.op_type == "MatMulNBits" else None
        changed = changed or node.op_type in ("MatMulNBits", "QMoE")
        if node.op_type == "QMoE":
            _in_float32(node)
        nodes += made or [node]
    if changed:
        nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        _require_blocks(model)
    return changed


def _in_float32(node: Any) -> None:
    """Ask QMoE for products in float32, which it makes of four bits, and of eight without blocks."""
    for attribute in node.attribute:
        if attribute.name == "accuracy_level":
            attribute.i = _FLOAT32


def bring_in_zero_points(model: Any, folder: Path) -> None:
    """Load the zero points of all MatMulNBits, which are small, from the files beside the model."""
    from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

    names = {node.input[3] for node in model.graph.node if node.op_type == "MatMulNBits" and len(node.input) > 3}
    for tensor in model.graph.initializer:
        if tensor.name in names and uses_external_data(tensor):
            load_external_data_for_tensor(tensor, str(folder))
            tensor.ClearField("external_data")
            tensor.data_location = type(tensor).DEFAULT


def _rewritten(node: Any, graph: Any, found: dict[str, Any]) -> list[Any] | None:
    """Return the nodes in the place of one; None for one of another form, which at least multiplies in float32."""
    from onnx import TensorProto, helper

    attributes = {attribute.name: attribute for attribute in node.attribute}
    rows, cols, size = (attributes[name].i for name in ("N", "K", "block_size"))
    bits = attributes["bits"].i if "bits" in attributes else 4
    inputs = [*node.input, "", "", ""][:6]
    values, scales, zero = (found.get(name) for name in inputs[1:4])
    known = bits in (4, 8) and cols % size == 0 and not inputs[4]
    known = known and (not inputs[3] or (zero is not None and zero.data_type == TensorProto.UINT8))
    if not known or values is None or scales is None:
        if "accuracy_level" in attributes:
            attributes["accuracy_level"].i = min(attributes["accuracy_level"].i, _FLOAT32)
        return None
    kind, count = {4: TensorProto.UINT4, 8: TensorProto.UINT8}[bits], cols // size
    names = [node.name + _SUFFIX + part for part in ("/values", "/scales", "/zero_points", "/whole", "/columns")]
    for tensor, name, element, shape in (
        (values, names[0], kind, (rows, cols)),
        (scales, names[1], None, (rows, count)),
    ):
        graph.initializer.append(_renamed(tensor, name, element or tensor.data_type, shape))
    zeros = TensorProto(name=names[2], data_type=kind, dims=(rows, count), raw_data=_zeros(zero, rows, count, bits))
    graph.initializer.append(zeros)
    product = node.output[0] + _SUFFIX if inputs[5] else node.output[0]
    made = [
        helper.make_node("DequantizeLinear", names[:3], [names[3]], name=names[3], axis=1, block_size=size),
        helper.make_node("Transpose", [names[3]], [names[4]], name=names[4], perm=[1, 0]),
        helper.make_node("MatMul", [inputs[0], names[4]], [product], name=node.name),
    ]
    if inputs[5]:
        made.append(helper.make_node("Add", [product, inputs[5]], [node.output[0]], name=node.name + "/bias"))
    return made


def _renamed(tensor: Any, name: str, element: int, shape: tuple[int, ...]) -> Any:
    """Return an initializer over the same bytes."""
    made = type(tensor)()
    made.CopyFrom(tensor)
    made.name, made.data_type = name, element
    del made.dims[:]
    made.dims.extend(shape)
    return made


def _zeros(zero: Any, rows: int, count: int, bits: int) -> bytes:
    """Return the zero points without the padding behind each row; the middle where there are none."""
    if zero is None:
        values = np.full(rows * count, 2 ** (bits - 1), np.uint8)
    else:
        from onnx import numpy_helper

        values = numpy_helper.to_array(zero).reshape(rows, -1)
        if bits == 4:
            values = np.stack([values & 15, values >> 4], axis=-1).reshape(rows, -1)[:, :count]
        values = np.ascontiguousarray(values).reshape(-1)
    if bits == 8:
        return bytes(values.tobytes())
    values = np.append(values, np.uint8(0)) if values.size % 2 else values
    return bytes((values[0::2] | (values[1::2] << 4)).tobytes())


def _require_blocks(model: Any) -> None:
    """Blocks in DequantizeLinear came with opset 21."""
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, 21)
    model.ir_version = max(model.ir_version, 10)

"""Constants that OpenVINO folds while it serializes a graph: they are folded before, so that the graph and its file agree."""

from __future__ import annotations

from typing import Any

import numpy as np


def fold(model: Any) -> None:
    """Replace each transposed floating-point constant by one of its values, transposed, under the constant's own name."""
    from openvino import Tensor, Type, opset13

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Transpose":
            continue
        source, order = (value.get_node() for value in node.input_values())
        element = source.get_output_element_type(0)
        if {source.get_type_name(), order.get_type_name()} != {"Constant"} or not element.is_real():
            continue
        values = source.data.view(np.uint16) if element == Type.bf16 else source.data
        axes = [int(axis) for axis in order.data]
        tensor = Tensor(element, [values.shape[axis] for axis in axes])  # memory of its own, which the constant keeps
        tensor.data.view(values.dtype)[...] = values.transpose(axes)
        made = opset13.constant(tensor)
        name = source.get_friendly_name()
        node.output(0).replace(made.output(0))
        made.set_friendly_name(name)

"""A graph that gives the logits of its last position alone: nobody who generates reads the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..convert.onnx.names import LOGITS


def last_position_only(graph: Any) -> bool:
    """Let the last product see the last position only: over a prompt of 1,024 tokens its logits would take 240 MB.

    Where the graph ends otherwise than in a product, it is left as it is; return whether it was changed.
    """
    from onnx import helper, numpy_helper

    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    weights = {tensor.name for tensor in graph.initializer}
    place = makers.get(LOGITS)
    while place is not None and graph.node[place].op_type in ("Identity", "Cast"):
        place = makers.get(graph.node[place].input[0])
    if place is None or graph.node[place].op_type not in ("MatMul", "MatMulNBits"):
        return False
    hidden = graph.node[place].input[0]
    if hidden in weights:
        return False
    values = {"from": -1, "to": np.iinfo(np.int64).max, "axis": 1}
    names = [f"{hidden}/last/{part}" for part in values]
    for name, value in zip(names, values.values(), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    graph.node[place].input[0] = f"{hidden}/last"
    nodes = [type(node).FromString(node.SerializeToString()) for node in graph.node]
    nodes.insert(place, helper.make_node("Slice", [hidden, *names], [f"{hidden}/last"], name=f"{hidden}/last"))
    del graph.node[:]
    graph.node.extend(nodes)
    return True

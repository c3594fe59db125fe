"""Rung 0: the sliding window that a graph holds, against the config's, for no probe goes as far as the widest ones.

A graph compares positions: a key is hidden whose position lies at or below the query's less the width. So the width is a number
that is added to positions, or taken from them, in front of a comparison; or an attribute of an operation that attends by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...convert.native_config import meant
from .weights import Findings

_COMPARING = {"Greater", "GreaterEqual", "GreaterOrEqual", "Less", "LessEqual", "LessOrEqual"}
_MOVING = {"Add", "Subtract", "Sub"}
_THROUGH = {"Cast", "Convert", "Unsqueeze", "Reshape", "Squeeze", "Identity"}
_ATTRIBUTE = "local_window_size"


def stated(config: Mapping[str, Any]) -> int | None:
    """Return the width of the window by what a config means, as transformers reads it; None: its layers see everything."""
    known = meant(dict(config))
    if known is None:
        return None
    text = known.get_text_config()
    width, kinds = getattr(text, "sliding_window", None), getattr(text, "layer_types", None)
    if not isinstance(width, int) or getattr(text, "use_sliding_window", True) is False:
        return None
    if kinds and not any("sliding" in str(one) for one in kinds):
        return None
    return width


def of_ir(model: Any) -> set[int]:
    """Return the widths in an `openvino.Model`."""
    found: set[int] = set()
    for op in model.get_ops():
        if op.get_type_name() == "Constant":
            output = op.output(0)
            # by the shape, so that no weight is read
            if output.get_element_type().is_integral() and np.prod(list(output.get_shape()), dtype=np.int64) == 1:
                width = abs(int(np.asarray(op.data).reshape(-1)[0]))
                if width > 1 and any(map(_moves, output.get_target_inputs())):
                    found.add(width)
    return found


def _moves(target: Any) -> bool:
    """True if a node's input is added to positions, or taken from them, and the sum is compared; both perhaps behind casts."""
    node = target.get_node()
    name = node.get_type_name()
    if name in _THROUGH:  # whose other inputs are axes and shapes
        return target.get_index() == 0 and any(
            _moves(one) for output in node.outputs() for one in output.get_target_inputs()
        )
    return name in _MOVING and _compared(_readers(node), lambda one: one.get_type_name(), _readers)


def _readers(node: Any) -> list[Any]:
    return [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]


def _compared(nodes: list[Any], kind: Any, readers: Any) -> bool:
    """True if one of some nodes compares, or hands its input to one that does."""
    names = [(node, kind(node)) for node in nodes]
    return any(name in _COMPARING for _, name in names) or any(
        _compared(readers(node), kind, readers) for node, name in names if name in _THROUGH
    )


def of_onnx(proto: Any) -> set[int]:
    """Return the widths in an `onnx.ModelProto` that was opened without its weights."""
    from onnx import TensorProto, numpy_helper

    users: dict[str, list[Any]] = {}
    for node in proto.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def readers(node: Any) -> list[Any]:
        return [user for name in node.output for user in users.get(name, [])]

    def kind(node: Any) -> str:
        return str(node.op_type)

    def moves(name: str, node: Any) -> bool:
        if kind(node) in _THROUGH:
            return node.input[0] == name and any(
                moves(made, one) for made in node.output for one in users.get(made, [])
            )
        return kind(node) in _MOVING and _compared(readers(node), kind, readers)

    found = {width for node in proto.graph.node for width in _attributes(node)}
    for name, tensor in _tensors(proto):
        outside = tensor.data_location == TensorProto.EXTERNAL
        if not outside and tensor.data_type in (TensorProto.INT64, TensorProto.INT32) and np.prod(tensor.dims) == 1:
            width = abs(int(numpy_helper.to_array(tensor).reshape(-1)[0]))
            if width > 1 and any(moves(name, node) for node in users.get(name, [])):
                found.add(width)
    return found


def _attributes(node: Any) -> Iterator[int]:
    yield from (one.i for one in node.attribute if one.name == _ATTRIBUTE and one.i > 0)


def _tensors(proto: Any) -> Iterator[tuple[str, Any]]:
    """Yield the initializers and the constants among the nodes, by the names of their values."""
    yield from ((tensor.name, tensor) for tensor in proto.graph.initializer)
    for node in proto.graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], one.t) for one in node.attribute if one.name == "value")


def judge(held: set[int], config: Mapping[str, Any], found: Findings) -> None:
    """Compare the widths of a graph with the config's; a graph whose form is not known here is a warning.

    Args:
        held: widths by `of_ir` or `of_onnx`.
        config: the checkpoint's.
        found: takes the sentence.
    """
    width = stated(config)
    found.figures["window"] = float(width or 0)
    longest = config.get("max_position_embeddings")
    if width is None:
        if held:
            found.warnings.append(
                f"The graph compares positions with {_listed(held)}; the config states no sliding window."
            )
        return
    other = {one for one in held if abs(one - width) > 1}  # "<" and "<=" differ by one
    if other:
        found.failures.append(
            f"The sliding window of the graph is {_listed(other)} positions wide, by the config {width:,}."
        )
    elif not held and not (isinstance(longest, int) and longest <= width):
        found.warnings.append(
            f"The sliding window of {width:,} positions was not found in the graph; the logits show one up to the long probe."
        )


def _listed(widths: set[int]) -> str:
    return ", ".join(f"{one:,}" for one in sorted(widths))

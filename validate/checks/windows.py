"""Check 0: the sliding window that a graph holds, against the config's, for no probe goes as far as the widest ones.

A graph compares positions: a key is hidden whose position lies at or below the query's less the width. So the width is a number
that is added to positions, or taken from them, in front of a comparison; or that is compared with the difference of two
positions; or an attribute of an operation that attends by itself. A window of n lets a query see n keys, its own among them.
Whether "<" or "<=" stands there, and on which side the key, makes one key of difference, so it is read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ...convert.native_config import meant
from .weights import Findings

_STRICT = {
    "Greater": True, "LessEqual": True, "LessOrEqual": True,
    "GreaterEqual": False, "GreaterOrEqual": False, "Less": False,
}  # fmt: skip
"""What compares, with the key on the left: the key at the border is hidden (key > border, or not key <= border)."""
_TAKING = {"Subtract", "Sub"}
_THROUGH = {"Cast", "Convert", "Unsqueeze", "Reshape", "Squeeze", "Identity"}
_ATTRIBUTE = "local_window_size"
"""Of GroupQueryAttention; onnxruntime 1.31 lets a query see as many keys as it says (tests/validate/test_windows.py)."""


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


class _Graph(Protocol):
    """What is asked of a graph of either format."""

    def kind(self, node: Any) -> str:
        """Return the operation's name."""
        ...

    def readers(self, node: Any) -> Iterable[tuple[Any, int]]:
        """Return who reads a node, each with the place among its inputs."""
        ...

    def source(self, node: Any, at: int) -> Any:
        """Return the node that makes an input; None: nobody does."""
        ...

    def is_constant(self, node: Any) -> bool:
        """True for a number that the graph holds."""
        ...


_FARTHEST = 64
"""Casts and the like behind each other that are followed; real graphs have three. A hostile one may have thousands."""


def _widths(graph: _Graph, readers: Iterable[tuple[Any, int]], number: int, left: int = _FARTHEST) -> Iterator[int]:
    """Yield the widths that a number is for those who read it, perhaps behind casts, of which `left` are followed."""
    for node, at in readers:
        kind = graph.kind(node)
        if kind in _THROUGH:  # whose other inputs are axes and shapes
            if at == 0 and left:
                yield from _widths(graph, graph.readers(node), number, left - 1)
        elif kind == "Add":
            yield from _compared(graph, graph.readers(node), number)
        elif kind in _TAKING and at == 1:
            yield from _compared(graph, graph.readers(node), -number)
        elif kind in _STRICT and _is_difference(graph, graph.source(node, 1 - at)):
            # query - key < n, or key - query > -n
            yield _width(kind, number, key_left=(at == 1) == (number < 0))


def _compared(graph: _Graph, readers: Iterable[tuple[Any, int]], shift: int, left: int = _FARTHEST) -> Iterator[int]:
    """Yield the widths by the comparisons of positions that were shifted: a query's back, or a key's forth."""
    for node, at in readers:
        kind = graph.kind(node)
        if kind in _THROUGH and at == 0:
            if left:
                yield from _compared(graph, graph.readers(node), shift, left - 1)
        elif kind in _STRICT:
            yield _width(kind, shift, key_left=(at == 0) == (shift > 0))


def _width(kind: str, shift: int, *, key_left: bool) -> int:
    return abs(shift) + (_STRICT[kind] != key_left)


def _is_difference(graph: _Graph, node: Any) -> bool:
    """True for what takes one position from another."""
    while node is not None and graph.kind(node) in _THROUGH:
        node = graph.source(node, 0)
    if node is None or graph.kind(node) not in _TAKING:
        return False
    return not any(graph.is_constant(graph.source(node, at)) for at in (0, 1))


class _Ir:
    def kind(self, node: Any) -> str:
        return str(node.get_type_name())

    def readers(self, node: Any) -> list[tuple[Any, int]]:
        targets = [target for output in node.outputs() for target in output.get_target_inputs()]
        return [(target.get_node(), target.get_index()) for target in targets]

    def source(self, node: Any, at: int) -> Any:
        return node.input_value(at).get_node()

    def is_constant(self, node: Any) -> bool:
        return self.kind(node) == "Constant"


def of_ir(model: Any) -> set[int]:
    """Return the widths in an `openvino.Model`."""
    found: set[int] = set()
    graph = _Ir()
    for op in model.get_ops():
        if graph.is_constant(op):
            output = op.output(0)
            # by the shape, so that no weight is read
            if output.get_element_type().is_integral() and np.prod(list(output.get_shape()), dtype=np.int64) == 1:
                found |= _of_number(graph, graph.readers(op), int(np.asarray(op.data).reshape(-1)[0]))
    return found


def _of_number(graph: _Graph, readers: Iterable[tuple[Any, int]], number: int) -> set[int]:
    return set(_widths(graph, readers, number)) if abs(number) > 1 else set()


class _Onnx:
    def __init__(self, proto: Any) -> None:
        self.users: dict[str, list[tuple[Any, int]]] = {}
        self.makers: dict[str, Any] = {}
        self.held = {tensor.name for tensor in proto.graph.initializer}
        for node in proto.graph.node:
            self.makers |= dict.fromkeys(node.output, node)
            for at, name in enumerate(node.input):
                self.users.setdefault(name, []).append((node, at))

    def kind(self, node: Any) -> str:
        return "Constant" if isinstance(node, str) else str(node.op_type)

    def readers(self, node: Any) -> list[tuple[Any, int]]:
        return [user for name in node.output for user in self.users.get(name, [])]

    def source(self, node: Any, at: int) -> Any:
        """An initializer is its name, an input of the graph nothing."""
        name = node.input[at]
        return name if name in self.held else self.makers.get(name)

    def is_constant(self, node: Any) -> bool:
        return node is not None and self.kind(node) == "Constant"


def of_onnx(proto: Any) -> set[int]:
    """Return the widths in an `onnx.ModelProto` that was opened without its weights."""
    from onnx import TensorProto, numpy_helper

    graph = _Onnx(proto)
    found = {width for node in proto.graph.node for width in _attributes(node)}
    for name, tensor in _tensors(proto):
        outside = tensor.data_location == TensorProto.EXTERNAL
        if not outside and tensor.data_type in (TensorProto.INT64, TensorProto.INT32) and np.prod(tensor.dims) == 1:
            number = int(numpy_helper.to_array(tensor).reshape(-1)[0])
            found |= _of_number(graph, graph.users.get(name, []), number)
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
    other = held - {width}
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

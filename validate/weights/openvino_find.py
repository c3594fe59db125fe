"""Finds the weights of an IR: from where the graph uses one up to the constants from which it is de-quantized."""

from __future__ import annotations

import math
from typing import Any

from ...runtimes import elements
from .constant import StoredWeight, element_of, is_weight, shape_of

_MOST = 64
"""Operations, or factors, of one weight; NNCF's take 9 at most. A hostile graph may have paths without number."""


class Unreadable(Exception):  # noqa: N818 - a reason to list the weight as unmatched, not an error
    """Why a constant subgraph is not values, zero points and scales."""


def find(model: Any) -> list[StoredWeight]:
    """Return every floating-point constant expression that the graph computes with, and that is a weight by `is_weight`.

    Each once, in the graph's order, however many users it has. Values that are de-quantized with other scales for another use are
    another weight.
    """
    constant: set[str] = set()
    found: dict[tuple[str, ...], StoredWeight] = {}
    for node in model.get_ordered_ops():
        sources = [value.get_node() for value in node.input_values()]
        fixed = [source.get_name() in constant for source in sources]
        if node.get_type_name() == "Constant" or (sources and all(fixed) and not (_has_state(node) or _computes(node))):
            constant.add(node.get_name())
            continue
        for place, (source, is_fixed) in enumerate(zip(sources, fixed, strict=True)):
            if is_fixed and _is_weight(source):
                stored = parse(source)
                stored.turned = place == 1 and _multiplies_as_it_lies(node)
                known = found.setdefault(_made_of(stored), stored)
                known.names.append(node.get_friendly_name())
    return list(found.values())


def _multiplies_as_it_lies(node: Any) -> bool:
    """Tell a product whose right side is [columns, rows], not [rows, columns]."""
    return node.get_type_name() == "MatMul" and not node.get_attributes()["transpose_b"]


def _made_of(stored: StoredWeight) -> tuple[str, ...]:
    """Return the names in the process of the constants that make a weight, values first."""
    others = [part for part in (stored.zero_point, stored.codebook) if part is not None]
    parts = [*others, *stored.scales]
    return (stored.place, stored.unreadable or "", *sorted(str(part.get_name()) for part in parts))


def _has_state(node: Any) -> bool:
    return node.get_type_name() in ("ReadValue", "Assign", "Parameter", "RandomUniform")


def _computes(node: Any) -> bool:
    """Tell whether an operation is the model's own, and not part of how a weight is stored (rates of decay are exponents)."""
    return bool(node.get_type_name() == "Exp")


def _is_weight(node: Any) -> bool:
    return (
        node.get_output_element_type(0).is_real()
        and not node.get_output_partial_shape(0).is_dynamic
        and is_weight(node.get_friendly_name(), shape_of(node))
    )


def parse(root: Any) -> StoredWeight:
    """Walk from a use, which depends on constants only, up to the values; what is of another form is only listed."""
    stored = StoredWeight(values=None, shape=shape_of(root))
    try:
        _ancestors(root, _MOST)
        _walk(root, stored)
    except Unreadable as error:
        values = max((n for n in _ancestors(root) if n.get_type_name() == "Constant"), key=_elements)
        return StoredWeight(values, stored.shape, names=[values.get_friendly_name()], unreadable=str(error))
    return stored


def _walk(node: Any, stored: StoredWeight) -> None:
    while True:
        stored.names.insert(0, node.get_friendly_name())
        kind = node.get_type_name()
        inputs = [value.get_node() for value in node.input_values()]
        if kind == "Constant":
            stored.values = node
            _require_readable(node)
            return
        if kind in ("Convert", "Reshape", "Squeeze", "Unsqueeze"):
            node = inputs[0]
        elif kind == "Multiply" and stored.zero_point is None and stored.codebook is None:
            node, other = sorted(inputs, key=_elements, reverse=True)
            stored.scales += _factors(other)
        elif kind == "Subtract" and stored.zero_point is None:
            node = inputs[0]
            stored.zero_point = _constant(inputs[1])
        elif kind == "Gather" and stored.codebook is None and len(shape_of(inputs[0])) == 1:
            stored.codebook = _constant(inputs[0])
            node = inputs[1]
        else:
            raise Unreadable(f"it is computed by {kind}")


def _require_readable(constant: Any) -> None:
    if not elements.readable(element_of(constant)):
        raise Unreadable(f"its element type is {element_of(constant)}")


def _ancestors(node: Any, most: int | None = None) -> list[Any]:
    """Return a node and all that it is computed from, each once.

    Raises:
        Unreadable: they are more than `most`.
    """
    found = {node.get_name(): node}
    todo = [node]
    while todo:
        for value in reversed(todo.pop().input_values()):
            before = value.get_node()
            if before.get_name() not in found:
                found[before.get_name()] = before
                todo.append(before)
        if most is not None and len(found) > most:
            raise Unreadable(f"it is computed by more than {most} operations")
    return list(found.values())


def _elements(node: Any) -> int:
    return max(math.prod(shape_of(a)) for a in _ancestors(node) if a.get_type_name() == "Constant")


def _factors(node: Any) -> list[Any]:
    factors, todo = [], [node]
    while todo:
        node = todo.pop()
        while node.get_type_name() in ("Convert", "Reshape"):
            node = node.input_value(0).get_node()
        if node.get_type_name() == "Multiply":
            todo += [value.get_node() for value in reversed(node.input_values())]
        else:
            factors.append(_constant(node))
        if len(factors) > _MOST:
            raise Unreadable(f"its scale has more than {_MOST} factors")
    return factors


def _constant(node: Any) -> Any:
    while node.get_type_name() in ("Convert", "Reshape"):
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        raise Unreadable(f"a part of it is computed by {node.get_type_name()}")
    _require_readable(node)
    return node

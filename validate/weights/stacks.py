"""The order of matrices that a checkpoint stacks in one tensor, the experts of a layer, where a graph holds them apart.

Such constants are matched by their values, so the comparison of weights takes exchanged ones for what they are. What an expert's
number is, the graph tells: rows are sorted by their experts, and the products are joined in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .openvino_ir import Match

_AROUND = ("Convert", "Subtract", "Multiply", "Reshape", "Squeeze", "Unsqueeze", "Transpose")
"""What may stand between a constant and its product, and behind that."""


def misplaced(matched: Mapping[str, Iterable[Match]]) -> list[str]:
    """Return a sentence for each stack whose matrices stand in another order in the graph than in the checkpoint."""
    found = []
    for name, matches in sorted(matched.items()):
        joined: dict[str, dict[int, int]] = {}
        for match in matches:
            place = _place(match.stored.values) if match.form.axis == 0 and match.form.parts > 1 else None
            if place:
                joined.setdefault(place[0], {})[place[1]] = match.form.part
        for parts in joined.values():
            wrong = [(at, part) for at, part in sorted(parts.items()) if at != part]
            # of a tensor that is joined with others the places count on from those
            if wrong and sorted(parts) == sorted(parts.values()):
                said = ", ".join(f"{part} in the place of {at}" for at, part in wrong[:4])
                more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
                found.append(f"{name}: its matrices (experts) changed places: {said}{more}.")
    return found


def _place(constant: Any) -> tuple[str, int] | None:
    """Return which node joins the product with a constant to others, and as which of its inputs; None: none does."""
    node, multiplied = constant, False
    while True:
        targets = list(node.output(0).get_target_inputs())
        if len(targets) != 1:
            return None
        node, kind = targets[0].get_node(), targets[0].get_node().get_type_name()
        if kind == "Concat" and multiplied:
            return node.get_name(), targets[0].get_index()
        if kind == "MatMul" and not multiplied:
            multiplied = True
        elif kind not in _AROUND:
            return None

"""Outputs of a loop that an export joins and takes apart again: each is read from the loop itself.

optimum-intel 2.2 writes the recurrence of a state-space layer (Mamba 2) or of linear attention as a `Loop`, whose outputs, the
layer's rows and its last state, it flattens, joins and cuts apart (`_ov_ops.py`). OpenVINO 2026.4 computes that right in float32.
In bfloat16, its default where a CPU has it, the state's half is memory that nothing wrote as soon as a text is longer than the
first one: a step through the cache then reads NaN, though a prefill is right (tests/convert/openvino/test_trace_loops.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def take_apart(model: Any) -> int:
    """Read every output of a loop that is joined with another from the loop, where it is cut out of the joined row again.

    A row is cut apart in the order of the outputs, and each piece becomes a tensor of an output's own sizes: it is that output.

    Returns:
        How many outputs are read from their loop now.
    """
    changed = 0
    for node in model.get_ordered_ops():
        outputs = _joined(node)
        cuts = list(_cuts(node)) if outputs else []
        if len(cuts) == len(outputs) and all(map(_alike, cuts, outputs)):
            for cut, output in zip(cuts, outputs, strict=True):
                cut.output(0).replace(output)
            changed += len(cuts)
    return changed


def _joined(node: Any) -> list[Any]:
    """Return the outputs of one loop that a node joins, each as one row; none if it does anything else."""
    if node.get_type_name() != "Concat" or node.output(0).get_partial_shape().rank.get_length() != 1:
        return []
    flat = [value.get_node() for value in node.input_values()]
    if any(one.get_type_name() != "Reshape" for one in flat):
        return []
    outputs = [one.input_value(0) for one in flat]
    loops = {output.get_node().get_name() for output in outputs if output.get_node().get_type_name() == "Loop"}
    return outputs if len(loops) == 1 and all(o.get_node().get_name() in loops for o in outputs) else []


def _cuts(joined: Any) -> Iterator[Any]:
    """Give the tensors that are made of a row's pieces, that from the row's beginning first, if there are two pieces."""
    pieces = [target.get_node() for target in joined.output(0).get_target_inputs()]
    if len(pieces) != 2 or any(one.get_type_name() != "Slice" for one in pieces):
        return
    for piece in sorted(pieces, key=lambda one: not _from_zero(one)):
        users = [target.get_node() for target in piece.output(0).get_target_inputs()]
        if len(users) == 1 and users[0].get_type_name() == "Reshape":
            yield users[0]


def _from_zero(piece: Any) -> bool:
    start = piece.input_value(1).get_node()
    return start.get_type_name() == "Constant" and not start.data.any()


def _alike(cut: Any, output: Any) -> bool:
    """Tell whether two tensors have as many dimensions, and the same sizes where both are known; some must be."""
    one, other = (value.get_partial_shape() for value in (cut.output(0), output))
    if one.rank != other.rank:
        return False
    known = [(a.get_length(), b.get_length()) for a, b in zip(one, other, strict=True) if a.is_static and b.is_static]
    return bool(known) and all(a == b for a, b in known)

"""Which operations are faulty, and which of them is the first.

Two faults can be told from the rounding of the weights without a limit chosen by hand:

- The computation. Artifact and reference get the same input and the same weights, those that the artifact stores. What still
  differs is the graph or the engine, and may be as much as the reference itself errs when the results of its parts are rounded as
  float16 does; that is measured for every operation, on the same input. Right artifacts stay far below (docs/validation.md).
- The weights. Each is held to the checkpoint's by the rules of its own format, as in the structure check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import median

from .measure import Measured
from .model import Operation

_LAYER = re.compile(r"model\.layers\.(\d+)\.([^.]+)")


def judge(measured: Sequence[Measured], wrong: Mapping[str, str]) -> list[Operation]:
    """Return every operation with its verdict.

    Args:
        measured: all, in order.
        wrong: names of tensors that are not the checkpoint's, and a sentence on each.
    """
    owners: dict[int, list[str]] = {}
    for name, sentence in wrong.items():
        owner = _owner(name, measured)
        if owner is not None:
            owners.setdefault(owner, []).append(sentence)
    return [_operation(one, owners.get(number, [])) for number, one in enumerate(measured)]


def _owner(name: str, measured: Sequence[Measured]) -> int | None:
    """Return the number of the operation that a tensor belongs to; where embeddings and head share one, of that which errs.

    None: it belongs to the vision part, which is not run.
    """
    inside = _LAYER.match(name)
    for number, one in enumerate(measured):
        if inside:
            if one.layer == int(inside[1]) and inside[2] in one.modules:
                return number
        elif any(name.startswith(f"{module}.") for module in one.modules):
            tied = one.name == "embeddings" and not _errs(one) and _errs(measured[-1])
            return len(measured) - 1 if tied else number
    return None


def _errs(one: Measured) -> bool:
    """Tell whether the computation errs; what is not a number does."""
    return not one.share("computed", "to own") <= one.tolerance


def _operation(one: Measured, sentences: list[str]) -> Operation:
    return Operation.model_validate(
        {
            "layer": one.layer,
            "name": one.name,
            "error": one.share("error", "reference"),
            "added": one.share("added", "to source"),
            "weights": one.share("weights", "to source"),
            "computed": one.share("computed", "to own"),
            "tolerance": one.tolerance,
            "wrong_weights": sentences,
            "departs": bool(sentences) or _errs(one),
        }
    )


def sentence(operations: Sequence[Operation]) -> str:
    """Say which operation departs first and why, or that none does."""
    first = next((one for one in operations if one.departs), None)
    return _sound(operations) if first is None else _fault(first, operations)


def place(one: Operation) -> str:
    """Name an operation: "the attention of layer 3"."""
    return f"the {one.name}" + ("" if one.layer is None else f" of layer {one.layer}")


def _fault(first: Operation, operations: Sequence[Operation]) -> str:
    text = f"The first that departs is {place(first)}: "
    if first.wrong_weights:
        text += "its weights are not the checkpoint's. " + " ".join(first.wrong_weights)
    else:
        text += (
            f"of the same input and with the weights that it has it makes something that is off by {first.computed:.2g} of what "
            f"it should add, where rounded results would be off by {first.tolerance:.2g}."
        )
    others = sum(one.departs for one in operations) - 1
    return text + (f" {others} more depart on their own." if others else " No other departs on its own.")


def _sound(operations: Sequence[Operation]) -> str:
    """The same in every operation is the compression; which adds most of it is told."""
    inner = [one for one in operations if one.layer is not None] or list(operations)
    worst = max(inner, key=lambda one: one.weights)
    text = "No layer departs by more than its neighbors: each computes what its own weights say"
    if worst.weights == 0:
        return f"{text}, and these are the checkpoint's."
    middle = median(one.weights for one in inner)
    return (
        f"{text}. The rounding of the weights changes what an operation adds by {middle:.2g} in the median, and by "
        f"{worst.weights:.2g} at most, in {place(worst)}."
    )

"""What a compression that looks at data does to weights on purpose, read from the artifact's graph and undone before comparing.

AWQ multiplies columns of a weight before it is rounded. Either the graph divides the input again (a constant `…/awq_mul`), or the
rows of the weight before carry the division. The first is known exactly; the second is estimated from those rows. LoRA correction
leaves the weight rounded to nearest and adds two narrow products beside it.
Source: `nncf.quantization.algorithms.weight_compression` 3.4, awq.py and openvino_backend.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import ArtifactError
from .constant import StoredWeight
from .openvino_find import parse

Array = npt.NDArray[Any]
ROUNDED = 2.0**-7
"""Share of an element that is lost when NNCF puts the multiplied weight into a bfloat16 constant: it cuts the last bits off."""
METHODS = ("awq", "gptq", "scale_estimation", "lora_correction")
_AWQ = "/awq_mul"
_DEQUANTIZING = ("Convert", "Reshape", "Multiply", "Subtract", "Gather")
_DIVISIONS = 8
"""Of one input, one behind the other, at most; NNCF makes one."""
_BIAS = 0.02
"""What rounding to nearest takes off on average, at most."""
_LEAST = 0.005
"""AWQ divides by 100 at most; a row whose factor would be smaller, or negative, holds something else."""


@dataclass
class TransformContext:
    """What stands around one weight in the graph.

    Attributes:
        columns: float32 [cols]: what the input is multiplied with on its way; None: nothing.
        before: values' name of the weight whose output, multiplied element by element with another, is the input; None: none.
        adapters: the narrow pair [r, cols], [rows, r] whose product is added beside; None: none.
    """

    columns: Array | None = None
    before: str | None = None
    adapters: tuple[StoredWeight, StoredWeight] | None = None

    def beside(self) -> Array | None:
        """Return the product of the adapters, float32 [rows, cols]."""
        if self.adapters is None:
            return None
        first, second = (one.whole() for one in self.adapters)
        product: Array = second @ first
        return product


@dataclass
class EquivalentTransforms:
    """What was found in all graphs of an artifact.

    Attributes:
        methods: NNCF's names of what moved the weights, as the graphs tell.
        around: by the name of a weight's values in the process (`Node.get_name`), where there is anything.
        explained: names of the values of constants that are these parts, and no tensors of the checkpoint.
    """

    methods: tuple[str, ...] = ()
    around: dict[str, TransformContext] = field(default_factory=dict)
    explained: set[str] = field(default_factory=set)


def methods_of(model: Any) -> list[str]:
    """Return the methods with which NNCF moved weights, as the graph's rt_info tells; empty if it only rounded."""
    used = []
    for method in METHODS:
        path = ["nncf", "weight_compression", method]
        if model.has_rt_info(path) and str(model.get_rt_info(path).astype(str)).lower() in ("true", "1"):
            used.append(method)
    return used


def find(models: Iterable[Any]) -> EquivalentTransforms:
    """Look through the graphs (`openvino.Model`) of an artifact.

    Raises:
        ArtifactError: a correction is of a form that nobody writes.
    """
    moves = EquivalentTransforms()
    for model in models:
        methods = methods_of(model)
        moves.methods = (*moves.methods, *(name for name in methods if name not in moves.methods))
        if {"awq", "lora_correction"} & set(methods):
            for node in model.get_ordered_ops():
                if node.get_type_name() == "MatMul":
                    _look(node, moves)
    return moves


def _look(product: Any, moves: EquivalentTransforms) -> None:
    weight = _weight(product)
    if weight is None:
        return
    around = TransformContext()
    source = product.input_value(0)
    around.columns = _divided(source.get_node(), moves)
    around.before = _before(source.get_node())
    around.adapters = _adapters(product, source, moves)
    if around.columns is not None or around.before or around.adapters:
        moves.around[weight.values.get_name()] = around


def _weight(product: Any) -> StoredWeight | None:
    """Return the weight that a product multiplies with; None if that is computed, as in attention."""
    if product.get_type_name() != "MatMul":
        return None
    root = product.input_value(1).get_node()
    if not _is_constant(root):
        return None
    weight = parse(root)
    return None if weight.unreadable else weight


def _is_constant(node: Any) -> bool:
    """Tell whether a node depends on constants only, of operations that de-quantize."""
    seen: set[str] = set()
    todo = [node]
    while todo:
        node = todo.pop()
        if node.get_name() in seen or node.get_type_name() == "Constant":
            continue
        seen.add(node.get_name())
        if node.get_type_name() not in _DEQUANTIZING:
            return False
        todo += [value.get_node() for value in node.input_values()]
    return True


def _divided(node: Any, moves: EquivalentTransforms, after: int = 0) -> Array | None:
    """Return the product of AWQ's constants on the way to a node: at it, or at either factor of the product that it is."""
    if node.get_type_name() != "Multiply":
        return None
    factors = [value.get_node() for value in node.input_values()]
    if after > _DIVISIONS:
        raise ArtifactError(
            f"{node.get_friendly_name()} is one of too many divisions.", "Convert the checkpoint again."
        )
    if _AWQ in node.get_friendly_name():
        constant = next((factor for factor in factors if factor.get_type_name() == "Constant"), None)
        if constant is None:
            raise ArtifactError(
                f"{node.get_friendly_name()} multiplies with no constant.", "Convert the checkpoint again."
            )
        moves.explained.add(constant.get_name())
        own: Array = np.asarray(constant.data, np.float32).reshape(-1)
        rest = next((found for factor in factors if (found := _divided(factor, moves, after + 1)) is not None), None)
        return own if rest is None else _product([own, rest], node)
    scaled = [
        found
        for factor in factors
        if _AWQ in factor.get_friendly_name() and (found := _divided(factor, moves, after + 1)) is not None
    ]
    return _product(scaled, node) if scaled else None


def _product(factors: list[Array], node: Any) -> Array:
    if len({factor.size for factor in factors}) > 1:
        raise ArtifactError(
            f"{node.get_friendly_name()} divides by vectors of several lengths.", "Convert the checkpoint again."
        )
    return np.asarray(np.prod(factors, axis=0), np.float32)


def _before(node: Any) -> str | None:
    """Return the values' name of the weight whose product, unchanged, is a factor of a product element by element."""
    if node.get_type_name() != "Multiply":
        return None
    for value in node.input_values():
        weight = _weight(value.get_node())
        if weight is not None:
            return str(weight.values.get_name())
    return None


def _adapters(product: Any, source: Any, moves: EquivalentTransforms) -> tuple[StoredWeight, StoredWeight] | None:
    """Return the narrow pair whose product with the same input is added to a product."""
    for target in product.output(0).get_target_inputs():
        adder = target.get_node()
        if adder.get_type_name() != "Add":
            continue
        for second in (value.get_node() for value in adder.input_values()):
            if second.get_type_name() != "MatMul":
                continue
            first = second.input_value(0).get_node()
            if first.get_type_name() != "MatMul" or not _same(first.input_value(0), source):
                continue
            narrow, wide = _weight(first), _weight(second)
            if narrow is not None and wide is not None:
                moves.explained |= {narrow.values.get_name(), wide.values.get_name()}
                return narrow, wide
    return None


def _same(one: Any, other: Any) -> bool:
    return bool(one.get_index() == other.get_index() and one.get_node().get_name() == other.get_node().get_name())


def estimated(held: Array, source: Array) -> Array | None:
    """Return by what AWQ multiplied the columns of the weight behind this one, dividing the rows of this: float32 [rows].

    The rows tell it by least squares: a row is rounded with scales of its own, however it was divided, while a column shares them
    with others. That the columns were indeed multiplied is for the comparison of each of their elements to find.

    Args:
        held: float32 [rows, n], the weight whose rows were divided, as the artifact holds it.
        source: as the checkpoint does.

    Returns:
        The factors; None if nothing was divided.
    """
    above, below = (held * source).sum(1), np.square(source).sum(1)
    behind = np.divide(above, below, out=np.ones_like(above), where=below > 0)
    if np.abs(behind - 1).max() <= slack(held.shape[1]) + _BIAS:
        return None
    factors: Array = (1 / np.where(behind > _LEAST, behind, 1)).astype(np.float32)
    return factors


def slack(count: int) -> float:
    """Return the share of an element by which a factor that `count` elements tell may be off: five standard errors, and rounding.

    An element of four bits has a relative error of 0.1 to 0.15.
    """
    return float(0.75 / np.sqrt(count)) + ROUNDED

"""Experts as onnxruntime's operators for them, which compute the chosen ones only: MoE over float32, QMoE over integers.

Each takes gate and up woven, and the router's numbers for all experts. MoE weighs by the softmax of the numbers of the chosen
ones, or of all; for any other router it is given the logarithms of the weights themselves. QMoE takes the weights apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.errors import UsageError
from ..program.experts import WOVEN, Experts
from .ops import MICROSOFT, Graph, Value

if TYPE_CHECKING:
    from ..openvino.tensor_layout import TensorLayout

ALPHA = 1.702
"""What the gate is multiplied with before the sigmoid, where it is cut off."""
_SWISH = {"activation_alpha": 1.0, "activation_beta": 0.0}
_TINY = 1e-37
"""Stands for the weight of an expert that is not chosen; its logarithm is far below any other's."""


def experts(graph: Graph, hidden: Value, prefix: str, e: Experts, activation: str) -> Value:
    """Implement `program.ops.Ops.experts`."""
    if activation != "silu":
        raise UsageError(f"onnxruntime's operator for experts has no {activation}.", "Take another format.")
    layer = _Layer(graph, prefix, e)
    flat = graph.op("Reshape", hidden, graph.i64([-1, layer.stacks[0].shape[2]]))
    logits = graph.linear(flat, prefix + e.stored.router, e.bias)
    quantized = [stored.assignment.mode is not None for stored in layer.stacks]
    if len(set(quantized)) > 1:
        raise UsageError(
            f"The experts' matrices of {prefix} would be stored in different ways, and onnxruntime's operator has one for all.",
            "Give them the same precision and group size.",
        )
    made = layer.quantized(flat, logits) if quantized[0] else layer.plain(flat, logits)
    return graph.op("Reshape", made, graph.op("Shape", hidden))


class _Layer:
    """The experts of one layer, and what their operator is told."""

    def __init__(self, graph: Graph, prefix: str, e: Experts) -> None:
        self._graph, self._prefix, self._experts = graph, prefix, e
        self.stacks = [graph.stored(prefix + e.stored.stack(role)) for role in (WOVEN, "down")]
        self._biases = [graph.row(prefix + e.stored.stack(role, "bias")) if e.bias else "" for role in (WOVEN, "down")]
        swish = {"activation_alpha": ALPHA, "activation_beta": 1.0, "swiglu_limit": e.limit} if e.limit else _SWISH
        self._options: dict[str, Any] = {"k": e.used, "activation_type": "swiglu", "swiglu_fusion": 1, **swish}

    def plain(self, flat: Value, logits: Value) -> Value:
        """Multiply by matrices in float32."""
        g, e = self._graph, self._experts
        first, second = (g.vector(stored.name) for stored in self.stacks)
        numbers, normalized, scale = logits, e.late or e.normalized, None
        if not _is_simple(e):
            weights, chosen = _chosen(g, logits, self._prefix, e)
            dense = g.op("ScatterElements", _filled(g, logits, _TINY), chosen, weights, axis=1)
            numbers, normalized = g.op("Log", dense), True
            scale = g.op("ReduceSum", weights, g.i64([-1]), keepdims=1)
        inputs = [flat, numbers, first, self._biases[0], second, self._biases[1]]
        made = g.op(
            "MoE", *_trimmed(inputs), domain=MICROSOFT, normalize_routing_weights=int(normalized), **self._options
        )
        return made if scale is None else g.op("Mul", made, scale)

    def quantized(self, flat: Value, logits: Value) -> Value:
        """Multiply by matrices of integers."""
        g, e = self._graph, self._experts
        numbers, normalized, weighing = logits, e.late or e.normalized, ""
        if not (_is_simple(e) and normalized):  # it takes the softmax of the chosen ones whatever it is told
            weights, chosen = _chosen(g, logits, self._prefix, e)
            nothing, ones = _filled(g, logits, 0.0), _filled(g, weights, 1.0)
            numbers, weighing = (g.op("ScatterElements", nothing, chosen, given, axis=1) for given in (ones, weights))
            normalized = False
        first, second = (
            [g.part(part) if part else "" for part in (one.values, one.scale, one.zero_point)] for one in self.stacks
        )
        inputs = [
            flat, numbers, *first[:2], self._biases[0], *second[:2], self._biases[1], "", "", "", first[2], second[2], "",
            weighing,
        ]  # fmt: skip
        return g.op(
            "QMoE", *_trimmed(inputs), domain=MICROSOFT, normalize_routing_weights=int(normalized), weights_prepacked=0,
            accuracy_level=g.accuracy_level, **self._layout(), **self._options,
        )  # fmt: skip

    def _layout(self) -> dict[str, Any]:
        """Say of how many bits the integers are, and how many share a scale."""
        bits, sizes = {str(one.assignment.mode)[:4] for one in self.stacks}, {block_of(one) for one in self.stacks}
        if len(bits) > 1 or len(sizes) > 1:
            raise UsageError(
                f"The experts' matrices of {self._prefix} have blocks of {' and '.join(map(str, sorted(sizes)))} weights in "
                f"{' and '.join(sorted(bits))}, and onnxruntime's QMoE has one kind for all.",
                "Give them the same precision, and a --group-size that divides both widths.",
            )
        size = sizes.pop()
        return {"expert_weight_bits": 4 if bits == {"int4"} else 8} | ({"block_size": size} if size else {})


def _trimmed(inputs: list[Value]) -> list[Value]:
    """Leave out absent inputs behind the last one."""
    return inputs[: max(number for number, name in enumerate(inputs, 1) if name)]


def block_of(stored: TensorLayout) -> int:
    """Return how many weights of a quantized stack share a scale in the file; 0: a row."""
    assert stored.scale
    return 0 if len(stored.scale.shape) == 2 else stored.shape[2] // stored.scale.shape[2]


def _is_simple(e: Experts) -> bool:
    """Tell whether the operators' own routing is the model's: the softmax of the highest logits, or of all."""
    return e.scores == "softmax" and e.correction is None and e.groups == 1 and e.factor == 1.0


def _chosen(g: Graph, logits: Value, prefix: str, e: Experts) -> tuple[Value, Value]:
    """Return weights and numbers of each token's experts, [tokens, used]."""
    if e.late:
        top, chosen = _top(g, logits, e.used)
        weights = g.op("Softmax", top, axis=-1)
    else:
        scores = g.op("Sigmoid", logits) if e.scores == "sigmoid" else g.op("Softmax", logits, axis=-1)
        _, chosen = _top(g, _for_choice(g, scores, prefix, e), e.used)
        weights = g.op("GatherElements", scores, chosen, axis=1)
        if e.normalized:
            total = g.op("ReduceSum", weights, g.i64([-1]), keepdims=1)
            weights = g.op("Div", weights, g.op("Add", total, g.f32(1e-20)))
    return (weights if e.factor == 1.0 else g.op("Mul", weights, g.f32(e.factor))), chosen


def _for_choice(g: Graph, scores: Value, prefix: str, e: Experts) -> Value:
    """Return the scores by which experts are chosen: corrected, and 0 outside the best groups."""
    if e.correction:
        scores = g.op("Add", scores, g.vector(prefix + e.correction))
    if e.groups == 1:
        return scores
    size = e.count // e.groups
    parted = g.op("Reshape", scores, g.i64([-1, e.groups, size]))
    best = g.op("ReduceSum", _top(g, parted, min(e.group_best, size))[0], g.i64([-1]), keepdims=0)
    _, taken = _top(g, best, e.used_groups)
    mask = g.op("ScatterElements", _filled(g, best, 0.0), taken, _filled(g, taken, 1.0), axis=1)
    return g.op("Reshape", g.op("Mul", parted, g.op("Unsqueeze", mask, g.i64([-1]))), g.i64([-1, e.count]))


def _top(g: Graph, values: Value, count: int) -> list[Value]:
    return g.ops("TopK", [values, g.i64([count])], 2, axis=-1)


def _filled(g: Graph, like: Value, value: float) -> Value:
    return g.op("Expand", g.f32(value), g.op("Shape", like))

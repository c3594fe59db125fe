"""A traced graph gets its weights: nodes that multiply by a tensor of the checkpoint, or look its rows up, are written anew.

`torch.onnx.export` multiplies by a linear layer's weight [out, in] through a Transpose, and by the weights of GPT-2's layers,
which lie as [in, out], directly or in a Gemm. Both become what the graph builder makes of a product (`ops.Graph.matmul`), for
which [in, out] is stored transposed. A tensor that takes part in anything else is read as float32 and is not compressed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...core.errors import CheckpointError, ConversionError
from ...quantize.assign import Weight
from ...quantize.scheme import Scheme
from .. import alternatives
from ..checkpoint import Checkpoint
from .models import Model, Shapes
from .names import LOGITS, TEXT
from .ops import Graph, Value
from .trace_model import INPUTS, Traced


@dataclass
class _Uses:
    """What a tensor is used for."""

    products: int = 0
    turned: int = 0
    lookups: int = 0
    others: int = 0

    @property
    def is_weight(self) -> bool:
        """Nothing but rows are looked up, or multiplied by, and all of them the same way round."""
        whole = (self.products or self.lookups) and not self.turned
        return not self.others and bool(whole or (self.turned and not self.products and not self.lookups))


@dataclass
class Plan:
    """What the graph does with its tensors.

    Attributes:
        traced: the graph.
        shapes: tensor → shape as it will lie in the file, in the order of the nodes.
        weights: those that a scheme may compress, in that order.
        turned: tensors that will lie transposed.
    """

    traced: Traced
    shapes: Shapes = field(default_factory=dict)
    weights: list[Weight] = field(default_factory=list)
    turned: set[str] = field(default_factory=set)


def plan(traced: Traced, checkpoint: Checkpoint) -> Plan:
    """Find out what the graph does with each tensor.

    Raises:
        CheckpointError: the graph makes no use of one.
        ConversionError: it has parts that this module does not read.
    """
    graph = traced.proto.graph
    if traced.proto.functions or any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute):
        raise ConversionError(
            "torch's ONNX graph has functions or branches.",
            alternatives.hint("onnx", checkpoint.config, checkpoint.names),
        )
    reader = _Reader(traced)
    uses: dict[str, _Uses] = defaultdict(_Uses)
    order: list[str] = []
    for node in graph.node:
        for name, kind in reader.uses(node):
            order.append(name)
            setattr(uses[name], kind, getattr(uses[name], kind) + 1)
    unused = sorted(set(traced.tensors.values()) - set(order))
    if unused:
        raise CheckpointError(
            f"The exported graph does not use {unused[0]}.", "The export for this model type leaves a part of it out."
        )
    made = Plan(traced)
    last = next((name for name in reversed(order) if uses[name].is_weight), None)
    for name in dict.fromkeys(order):
        one, shape = uses[name], checkpoint.info(name).shape
        if one.is_weight and one.turned:
            made.turned.add(name)
            shape = shape[::-1]
        made.shapes[name] = shape
        if one.is_weight:
            made.weights.append(Weight(name, shape, "embedding" if one.lookups else "matmul", name == last))
    return made


def model(made: Plan, scheme: Scheme) -> Model:
    """Return the model to write; its tensors are those of `made.shapes`."""
    return Model(TEXT, made.shapes, made.weights, partial(_build, made=made), scheme)


class _Reader:
    """Reads nodes of a traced graph."""

    def __init__(self, traced: Traced) -> None:
        graph = traced.proto.graph
        self.tensors = traced.tensors
        self.producer = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
        ranks = [*graph.value_info, *graph.input, *graph.output]
        self.rank = {value.name: len(value.type.tensor_type.shape.dim) for value in ranks}

    def uses(self, node: Any) -> Iterator[tuple[str, str]]:
        """Give (tensor, field of `_Uses`) for each tensor that a node reads; of the Transpose of one, its readers give it."""
        if self.is_transposition(node):
            return
        product, lookup = self.product(node), self.lookup(node)
        for place, value in enumerate(node.input):
            if product and place == 1:
                yield product[0], "turned" if product[1] else "products"
            elif lookup and place == 0:
                yield lookup, "lookups"
            elif value in self.tensors:
                yield self.tensors[value], "others"
            elif self._transposed(value):
                yield str(self._transposed(value)), "others"

    def is_transposition(self, node: Any) -> bool:
        """True for the Transpose that turns a linear layer's weight."""
        return node.op_type == "Transpose" and node.input[0] in self.tensors and _list(node, "perm") == [1, 0]

    def product(self, node: Any) -> tuple[str, bool] | None:
        """Return the tensor by which a node multiplies and whether that lies as [in, out]; None if it does no such thing."""
        if node.op_type not in ("MatMul", "Gemm"):
            return None
        value, turned = node.input[1], True
        if node.op_type == "Gemm":
            if _int(node, "transA", 0) or _float(node, "alpha") != 1 or _float(node, "beta") != 1:
                return None
            turned = not _int(node, "transB", 0)
        below = self._transposed(value)
        if below:
            return below, not turned
        return (self.tensors[value], turned) if value in self.tensors and self.rank.get(value) == 2 else None

    def lookup(self, node: Any) -> str | None:
        """Return the table of which a node takes rows, for ids [batch, n]."""
        if node.op_type != "Gather" or _int(node, "axis", 0) or node.input[0] not in self.tensors:
            return None
        ranks = [self.rank.get(value) for value in node.input]
        return self.tensors[node.input[0]] if ranks == [2, 2] else None

    def _transposed(self, value: Value) -> str | None:
        node = self.producer.get(value)
        return self.tensors[node.input[0]] if node is not None and self.is_transposition(node) else None


def _build(graph: Graph, made: Plan) -> None:
    """Add inputs, nodes and outputs to an empty graph (`models.Model.build`)."""
    _Writer(graph, made).build()


class _Writer:
    def __init__(self, graph: Graph, made: Plan) -> None:
        self.g = graph
        self.reader = _Reader(made.traced)
        self.traced = made.traced
        self.weights = {weight.name for weight in made.weights}
        self.called: dict[Value, Value] = {}

    def build(self) -> None:
        g, proto = self.g, self.traced.proto.graph
        given = [value.name for value in proto.input if value.name not in self.traced.tensors]
        self._inputs(given)
        outputs = [LOGITS, *_caches("present", len(self.traced.caches))]
        ends = {old.name: new for old, new in zip(proto.output, outputs, strict=True)}
        same: dict[tuple[Any, ...], Value] = {}  # some families keep a mask of all positions in every layer
        for tensor in proto.initializer:
            key = (tensor.data_type, *tensor.dims, tensor.raw_data or tensor.name)
            if key not in same:
                same[key] = g.small(tensor)
            self.called[tensor.name] = same[key]
        for node in proto.node:
            self._node(node, ends)
        for value, name in zip(proto.output, outputs, strict=True):
            self._output(self._value(value.name), name)

    def _inputs(self, given: list[str]) -> None:
        g, types = self.g, self.g.types
        names = [*INPUTS, *_caches("past_key_values", len(self.traced.caches))]
        self.called.update(zip(given, names, strict=True))
        for name in INPUTS:
            g.input(name, types.INT64, ["batch", "total" if name == "attention_mask" else "n"])
        for name, (heads, size) in zip(names[len(INPUTS) :], self._sides(), strict=True):
            g.input(name, types.FLOAT, ["batch", heads, "past", size])

    def _sides(self) -> list[tuple[int, int]]:
        return [side for sides in self.traced.caches for side in sides]

    def _output(self, value: Value, name: str) -> None:
        g = self.g
        if name == LOGITS:
            g.output(value, name, g.types.FLOAT, ["batch", "n", self.traced.vocab_size])
            return
        heads, size = self._sides()[_caches("present", len(self.traced.caches)).index(name)]
        g.output(value, name, g.types.FLOAT, ["batch", heads, "total", size])

    def _node(self, node: Any, ends: dict[str, str]) -> None:
        """Write one node; that which makes an output is called after it."""
        product, lookup = self.reader.product(node), self.reader.lookup(node)
        if product and product[0] in self.weights:
            self.called[node.output[0]] = self._product(node, product[0], ends.get(node.output[0]))
        elif lookup and lookup in self.weights:
            self.called[node.output[0]] = self.g.lookup(lookup, self._value(node.input[1]))
        elif not self.reader.is_transposition(node) or self.traced.tensors[node.input[0]] not in self.weights:
            made = [ends.get(name, name) for name in node.output]
            self.called.update(zip(node.output, made, strict=True))
            self.g.take(node, [self._value(name) for name in node.input], made)

    def _product(self, node: Any, weight: str, name: str | None) -> Value:
        g, name = self.g, name or str(node.output[0])
        bias = node.input[2] if len(node.input) > 2 else ""
        product = g.matmul(self._value(node.input[0]), weight, f"{name}/product" if bias else name)
        return g.op("Add", product, self._value(bias), name=name) if bias else product

    def _value(self, name: str) -> Value:
        if name in self.traced.tensors:
            return self.g.vector(self.traced.tensors[name])
        return self.called.get(name, name)


def _caches(start: str, layers: int) -> list[str]:
    return [f"{start}.{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]


def _attribute(node: Any, name: str) -> Iterable[Any]:
    return (attribute for attribute in node.attribute if attribute.name == name)


def _int(node: Any, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in _attribute(node, name)), default)


def _float(node: Any, name: str) -> float:
    return next((float(attribute.f) for attribute in _attribute(node, name)), 1.0)


def _list(node: Any, name: str) -> list[int]:
    return next((list(attribute.ints) for attribute in _attribute(node, name)), [])

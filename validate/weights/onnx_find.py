"""The weights of an ONNX model: the expressions that de-quantize them, whoever wrote them.

Understood are float initializers, also behind a Cast, DequantizeLinear (a row, a column or blocks of either, perhaps behind a
Transpose), MatMulNBits, QMoE, and tables of integers whose rows are de-quantized after they were looked up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtimes.onnx_graph import Constant, OnnxGraph
from .constant import StoredWeight, is_weight

Array = npt.NDArray[Any]
_UNPACKING = ("Cast", "Unsqueeze", "Reshape", "Concat", "Slice", "BitwiseAnd", "BitShift")
"""What may lie between a row that was looked up and its zero point and scale."""
_OF_EXPERTS = ((2, 3, 11), (5, 6, 12))
"""Which inputs of QMoE are values, scales and zero points of its two stacks."""
_FLOATS = ("f32", "f16", "f64", "bf16")


def find(graph: OnnxGraph) -> list[StoredWeight]:
    """Return every weight of the graph, each once, in the order of the nodes.

    Values that are de-quantized with other scales for another use are another weight.
    """
    return _Finder(graph).find()


class _Finder:
    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self._constants = graph.constants
        self._users: dict[str, list[Any]] = defaultdict(list)
        self._producer: dict[str, Any] = {}
        for node in graph.proto.graph.node:
            for name in node.input:
                self._users[name].append(node)
            for name in node.output:
                self._producer[name] = node
        self._found: dict[str, dict[tuple[str, ...], StoredWeight]] = defaultdict(dict)
        """By the name of the values, then by those of the other parts."""
        self._parts: set[str] = set()

    def find(self) -> list[StoredWeight]:
        nodes = list(self._graph.proto.graph.node)
        for node in nodes:
            self._compressed(node)
        for node in nodes:
            for name in node.input:
                constant = self._constants.get(name)
                if constant is None or name in self._parts or not is_weight(name, constant.shape):
                    continue
                if name in self._found:
                    for stored in self._found[name].values():
                        stored.names.append(node.name)
                elif constant.element in _FLOATS:
                    users = [node.name, *(user.name for user in self._users[node.output[0]] if node.op_type == "Cast")]
                    self._found[name][()] = StoredWeight(constant, constant.shape, names=[name, *users])
        for node in nodes:
            if _is_product(node):
                for weight in self._multiplied(node.input[1]):
                    weight.turned = True
        return [stored for ways in self._found.values() for stored in ways.values()]

    def _multiplied(self, value: str) -> list[StoredWeight]:
        """Return the weight that is the right side of a product as it lies: [columns, rows], not [rows, columns]."""
        while value in self._producer and self._producer[value].op_type in ("Cast", "DequantizeLinear"):
            value = self._producer[value].input[0]
        return list(self._found[value].values()) if value in self._found else []

    def _compressed(self, node: Any) -> None:
        """Read a node that de-quantizes a constant; what is of another form is listed as unreadable."""
        if node.op_type == "QMoE":
            for place, scale, zero in _OF_EXPERTS:
                self._experts(node, place, scale, zero)
        kinds = {
            "MatMulNBits": (1, self._of_nbits),
            "DequantizeLinear": (0, self._of_dequantize),
            "Gather": (0, self._of_gather),
        }
        if node.op_type not in kinds:
            return
        place, read = kinds[node.op_type]
        values = self._constants.get(self._turned(node.input[place]) or node.input[place])
        if values is None or (node.op_type == "Gather" and values.element in _FLOATS):
            return
        self._hold(node, values, partial(read, node, values))

    def _hold(self, node: Any, values: Constant, read: Callable[[], StoredWeight | None]) -> None:
        """Remember what a node makes of a constant."""
        try:
            stored = read()
        except (IndexError, KeyError, ValueError, ZeroDivisionError) as error:
            stored = StoredWeight(values, values.shape, unreadable=f"{node.op_type} of another form ({error})")
        if stored is None:
            return
        stored.names = [values.name, node.name]
        ways = self._found[values.name]
        if stored.unreadable and ways:
            return
        for other in [key for key, way in ways.items() if way.unreadable]:
            del ways[other]
        ways.setdefault(_made_of(stored), stored)

    def _part(self, name: str) -> Constant:
        self._parts.add(name)
        return self._constants[name]

    def _of_nbits(self, node: Any, values: Constant) -> StoredWeight:
        a = {attribute.name: attribute.i for attribute in node.attribute}
        rows, cols, size, bits = a["N"], a["K"], a["block_size"], a.get("bits", 4)
        if bits not in (4, 8) or cols % size:
            raise ValueError(f"{bits} bits, {cols} columns in blocks of {size}")
        count = cols // size
        shape = (rows, count, size)
        if math.prod(shape) * bits // 8 != values.data.size:
            raise ValueError(f"{values.data.size} bytes for {list(shape)}")
        scale = self._part(node.input[2]).shaped((rows, count, 1))
        if len(node.input) > 3 and node.input[3]:
            zero = _zero_points(self._part(node.input[3]), rows, count, bits)
        else:
            zero = Constant("", "u8", (1, 1, 1), np.array([2 ** (bits - 1)], np.uint8))
        return _grouped(values, (rows, cols), bits, zero, scale)

    def _experts(self, node: Any, place: int, scale: int, zero: int) -> None:
        values = self._constants.get(node.input[place]) if place < len(node.input) else None
        if values is not None:
            self._hold(node, values, partial(self._of_experts, node, values, scale, zero))

    def _of_experts(self, node: Any, values: Constant, scale: int, zero: int) -> StoredWeight:
        """A stack of matrices as QMoE has it: [experts, rows, bytes], a scale for each row or block of it."""
        a = {attribute.name: attribute.i for attribute in node.attribute}
        bits = a.get("expert_weight_bits", 4)
        experts, rows, width = values.shape
        cols = width * 8 // bits
        size = a.get("block_size", 0) or cols
        count = cols // size
        if bits not in (4, 8) or cols % size:
            raise ValueError(f"{bits} bits, {cols} columns in blocks of {size}")
        scales = self._part(node.input[scale]).shaped((experts * rows, count, 1))
        if zero < len(node.input) and node.input[zero]:
            # those of blocks begin on a byte in each row, those of rows in each expert
            lead, each = (experts * rows, count) if a.get("block_size", 0) else (experts, rows)
            zeros = _zero_points(self._part(node.input[zero]), lead, each, bits).shaped((experts * rows, count, 1))
        else:
            zeros = Constant("", "u8", (1, 1, 1), np.array([2 ** (bits - 1)], np.uint8))
        flat = _grouped(values, (experts * rows, cols), bits, zeros, scales)
        _, groups, group = flat.stored_shape
        lead3 = (experts, rows, groups) if groups > 1 else (experts, rows)
        parts = [
            p if p.shape[0] == 1 else p.shaped((*lead3, 1)) for p in (flat.zero_point, *flat.scales) if p is not None
        ]
        parts[0] = parts[0].shaped((1,) * (len(lead3) + 1)) if parts[0].shape[0] == 1 else parts[0]
        held = flat.values.shaped((*lead3, group))
        return StoredWeight(held, (experts, rows, cols), parts[0], parts[1:])

    def _of_dequantize(self, node: Any, values: Constant) -> StoredWeight:
        a = {attribute.name: attribute.i for attribute in node.attribute}
        axis, size = a.get("axis", 1) % max(1, len(values.shape)), a.get("block_size", 0)
        if self._turned(node.input[0]):
            axis = 1 - axis
        shape = list(values.shape)
        scale = self._part(node.input[1])
        if size:
            shape[axis : axis + 1] = [shape[axis] // size, size]
            wanted = [1 if i == axis + 1 else n for i, n in enumerate(shape)]
        elif math.prod(scale.shape) == 1:
            wanted = [1] * len(shape)
        else:
            wanted = [n if i == axis else 1 for i, n in enumerate(shape)]
        if math.prod(shape) != math.prod(values.shape) or math.prod(scale.shape) != math.prod(wanted):
            raise ValueError(f"scales {list(scale.shape)} for {list(values.shape)}")
        zero = self._part(node.input[2]).shaped(tuple(wanted)) if len(node.input) > 2 and node.input[2] else None
        return StoredWeight(values.shaped(tuple(shape)), values.shape, zero, [scale.shaped(tuple(wanted))])

    def _of_gather(self, node: Any, values: Constant) -> StoredWeight | None:
        """Rows of integers, perhaps two a byte, converted, less their zero points, times their scales; None for zero points."""
        rows, *rest = values.shape
        value, zero, packed = node.output[0], "", False
        while True:
            user = self._users[value][0]
            others = [name for name in user.input if name != value]
            if user.op_type == "Sub" and user.input[0] != value:
                return None
            value = user.output[0]
            packed = packed or user.op_type == "BitwiseAnd"
            if user.op_type == "Sub":
                zero = self._source(others[0])
            elif user.op_type == "Mul":
                break
            elif user.op_type not in _UNPACKING:
                raise ValueError(user.op_type)
        scale = self._part(self._source(others[0]))
        if not packed:
            column = (rows, *(1 for _ in rest))
            zeros = self._part(zero).shaped(column) if zero else None
            return StoredWeight(values, values.shape, zeros, [scale.shaped(column)])
        blocks, half = rest
        if math.prod(self._constants[zero].shape) == 1:
            zeros = Constant("", "u8", (1, 1, 1), np.array([8], np.uint8))
        else:
            zeros = _zero_points(self._part(zero), rows, blocks, 4)
        return _grouped(values, (rows, blocks * 2 * half), 4, zeros, scale.shaped((rows, blocks, 1)))

    def _turned(self, value: str) -> str | None:
        """Return the matrix of which a value is the transposed; None if it is of none."""
        node = self._producer.get(value)
        if node is None or node.op_type != "Transpose" or len(self._shape(node.input[0])) != 2:
            return None
        return str(node.input[0])

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._constants[name].shape if name in self._constants else ()

    def _source(self, value: str) -> str:
        """Return the initializer whose rows a value is."""
        while value in self._producer:
            node = self._producer[value]
            if node.op_type not in (*_UNPACKING, "Gather"):
                raise ValueError(node.op_type)
            value = node.input[0]
        return value


def _made_of(stored: StoredWeight) -> tuple[str, ...]:
    """Return the names of the initializers that de-quantize a weight."""
    zero = [stored.zero_point] if stored.zero_point is not None else []
    return tuple(part.name for part in (*stored.scales, *zero))


def _is_product(node: Any) -> bool:
    """True if a node multiplies by its second input as that lies."""
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not turned)


def _grouped(values: Constant, shape: tuple[int, int], bits: int, zero: Constant, scale: Constant) -> StoredWeight:
    """Join neighboring blocks of one scale and zero point: the group that was quantized is held to its own range."""
    rows, count, _ = scale.shape
    parts = [part.data.reshape(part.shape) for part in (scale, zero) if part.shape[0] == rows]

    def alike(run: int) -> bool:
        runs = (part.reshape(rows, count // run, run) for part in parts)
        return all(bool((blocks == blocks[..., :1]).all()) for blocks in runs)

    run = next(run for run in range(count, 0, -1) if count % run == 0 and alike(run))
    one = slice(None, None, run)
    groups = [
        Constant(p.name, p.element, (rows, count // run, 1), p.data.reshape(p.shape)[:, one].reshape(-1))
        for p in (scale, zero)
        if p.shape[0] == rows
    ]
    scale = groups[0]
    zero = groups[1] if len(groups) > 1 else zero
    stored = (rows, count // run, shape[1] // (count // run))
    return StoredWeight(values.shaped(stored, f"u{bits}"), shape, zero, [scale])


def _zero_points(packed: Constant, rows: int, count: int, bits: int) -> Constant:
    """Unpack to one a byte; each row begins on a byte."""
    if packed.element != "u8":
        raise ValueError(f"zero points of {packed.element}")
    values = packed.data.reshape(rows, -1)
    if bits == 4:
        values = np.stack([values & 15, values >> 4], axis=-1).reshape(rows, -1)[:, :count]
    return Constant(packed.name, "u8", (rows, count, 1), np.ascontiguousarray(values).reshape(-1))

"""What the ONNX graphs are written with: nodes, small constants, and the layers that stored weights make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..openvino.tensor_layout import Constant, TensorLayout
from ..program.reading import QUICK

OPSET = 21
"""ONNX 1.16: the first with blocks in DequantizeLinear; onnxruntime reads it since 1.18."""
IR_VERSION = 10
MICROSOFT = "com.microsoft"
_LOOKUP = "/lookup"
"""Ends the names under which a lookup has scales and zero points, at the same place of the file: onnxruntime fuses
de-quantization with a product only if nothing else uses them, and would de-quantize the whole head for every token."""
Value = str
"""A value of the graph, by its name."""


class Graph:
    """A graph under construction.

    `accuracy_level` is that of MatMulNBits and QMoE. `tensors` says how each weight lies, `initializer` makes the (external)
    initializer of one of its parts, under a name.
    """

    def __init__(
        self, tensors: Mapping[str, TensorLayout], initializer: Callable[[Constant, str], Any], *, accuracy_level: int
    ) -> None:
        import onnx

        self._onnx = onnx
        self._tensors = tensors
        self._initializer = initializer
        self.accuracy_level = accuracy_level
        self._known: dict[str, Any] = {}
        self._made: dict[tuple[str, str], Value] = {}
        self._counts: dict[str, int] = {}
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def model(self, name: str, producer: tuple[str, str]) -> Any:
        """Return the whole (`onnx.ModelProto`); `producer` is a name and a version."""
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, list(self._known.values()))
        domains = {node.domain for node in self._nodes}
        opsets = [helper.make_opsetid("", OPSET)]
        if MICROSOFT in domains:
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=producer[0], producer_version=producer[1]
        )

    # -- nodes and small constants

    def op(self, kind: str, *inputs: Value, name: str | None = None, domain: str = "", **attributes: Any) -> Value:
        """Add a node of one output, which has the node's name."""
        return self.ops(kind, inputs, 1, name=name, domain=domain, **attributes)[0]

    def ops(
        self,
        kind: str,
        inputs: Sequence[Value],
        outputs: int,
        *,
        name: str | None = None,
        domain: str = "",
        **attrs: Any,
    ) -> list[Value]:
        """Add a node of several outputs."""
        if name is None:
            self._counts[kind] = self._counts.get(kind, -1) + 1
            name = f"{kind}_{self._counts[kind]}"
        made = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), made, name=name, domain=domain, **attrs))
        return made

    def take(self, node: Any, inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
        """Add another graph's node (`onnx.NodeProto`), with other inputs and outputs and without its remarks."""
        made = type(node)(op_type=node.op_type, domain=node.domain, name=node.name)
        made.input.extend(inputs)
        made.output.extend(outputs)
        made.attribute.extend(node.attribute)
        self._nodes.append(made)

    def small(self, tensor: Any) -> Value:
        """Add another graph's initializer (`onnx.TensorProto`), which lies in the graph itself."""
        made = type(tensor)()
        made.CopyFrom(tensor)
        for remark in ("doc_string", "metadata_props"):
            made.ClearField(remark)
        self._known[made.name] = made
        return str(made.name)

    def constant(self, values: Any, dtype: type, name: str | None = None) -> Value:
        """Return a small constant; one without a name has its content as name, and is there once."""
        array: npt.NDArray[Any] = np.asarray(values, dtype)
        if name is None:
            name = f"{array.dtype.name}{list(array.shape)}:{','.join(map(str, array.reshape(-1).tolist()))}"
        if name not in self._known:
            self._known[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def i64(self, values: Any) -> Value:
        """Return a constant int64."""
        return self.constant(values, np.int64)

    def f32(self, values: Any) -> Value:
        """Return a constant float32."""
        return self.constant(values, np.float32)

    def input(self, name: str, dtype: int, shape: Sequence[int | str]) -> Value:
        """Add an input; a dimension that is a string may have any size, the same one wherever it stands."""
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def output(self, value: Value, name: str, dtype: int, shape: Sequence[int | str]) -> None:
        """Make a value the output `name`."""
        if value != name:
            self.op("Identity", value, name=name)
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, dtype, list(shape)))

    def rename_last(self, value: Value, name: str) -> Value:
        """Give the value that was made last another name, and its node with it; return that."""
        node = self._nodes[-1]
        if list(node.output) != [value]:
            return value
        node.name = name
        node.output[0] = name
        return name

    @property
    def types(self) -> Any:
        """The names of the element types (`onnx.TensorProto`)."""
        return self._onnx.TensorProto

    def float32(self, value: Value) -> Value:
        """Convert to float32."""
        return self.op("Cast", value, to=self.types.FLOAT)

    # -- what stored weights make

    def vector(self, name: str) -> Value:
        """Return a norm or a bias as float32."""
        return self._once("vector", name, self._plain)

    def linear(self, hidden: Value, name: str, bias: bool) -> Value:
        """Multiply [..., in] by the weight `name` [out, in], and add its bias if it has one."""
        node = self._new_name(name)
        product = self.matmul(hidden, name + ".weight", None if bias else node)
        return self.op("Add", product, self.vector(name + ".bias"), name=node) if bias else product

    def _new_name(self, module: str) -> str:
        """Return a module's name; with a number behind it if it has been used, by a layer that calls it again."""
        times = self._counts[module] = self._counts.get(module, 0) + 1
        return module if times == 1 else f"{module}/{times}"

    def convolution(self, states: Value, name: str, step: int, *, bias: bool = True) -> Value:
        """Convolve without overlap and without padding by [out, in, step, step], with a bias for each output channel."""
        kernel = self.kernel(name + ".weight")
        added = [self.vector(name + ".bias")] if bias else []
        return self.op("Conv", states, kernel, *added, strides=[step, step], name=name)

    def kernel(self, name: str) -> Value:
        """Return a weight of any shape in float32, of int8 or not compressed."""
        return self._once("kernel", name, self._dequantized)

    def depthwise(self, states: Value, name: str, channels: int, bias: bool) -> Value:
        """Convolve each channel of [batch, channels, n] by itself, without padding, by [channels, 1, taps]."""
        weight = self._once("kernel", name + ".weight", self._dequantized)
        biases = [self.vector(name + ".bias")] if bias else []
        return self.op("Conv", states, weight, *biases, group=channels, name=name)

    def activate(self, states: Value, kind: str) -> Value:
        """Apply one of `program.reading.ACTIVATIONS`."""
        if kind == "silu":
            return self.op("Mul", states, self.op("Sigmoid", states))
        if kind == QUICK:
            return self.op("Mul", states, self.op("Sigmoid", self.op("Mul", states, self.f32(1.702))))
        return self.op("Gelu", states, approximate="tanh" if kind == "gelu_pytorch_tanh" else "none")

    def matmul(self, hidden: Value, weight: str, name: str | None) -> Value:
        """Multiply [..., in] by a weight [out, in]; `name` is the product's."""
        stored = self._tensors[weight]
        if (stored.assignment.mode or "").startswith("int4"):
            rows, cols = stored.shape
            parts = [self._part(part) for part in (stored.values, stored.scale, stored.zero_point) if part]
            return self.op(
                "MatMulNBits", hidden, *parts, name=name, domain=MICROSOFT, K=cols, N=rows, bits=4,
                block_size=2 * stored.values.shape[2], accuracy_level=self.accuracy_level,
            )  # fmt: skip
        return self.op("MatMul", hidden, self._once("columns", weight, self._columns), name=name)

    def stored(self, name: str) -> TensorLayout:
        """Say how a stored tensor lies."""
        return self._tensors[name]

    def row(self, name: str) -> Value:
        """Return the biases of a stack [n, 1, columns] as float32 [n, columns]."""
        return self._once("row", name, lambda stored: self.op("Squeeze", self._plain(stored), self.i64([1])))

    def width(self, weight: str) -> int:
        """Return the columns of a weight."""
        return self._tensors[weight].shape[1]

    def lookup(self, table: str, ids: Value) -> Value:
        """Take the rows of a table [rows, width] that the ids int64 [batch, n] name: float32 [batch, n, width]."""
        stored = self._tensors[table]
        mode = stored.assignment.mode
        rows = self.op("Gather", self._part(stored.values), ids, axis=0)
        if mode is None:
            return rows if stored.values.element == "f32" else self.float32(rows)
        scale = self._column(self.op("Gather", self._part(stored.scale, _LOOKUP), ids, axis=0))
        if mode.startswith("int8"):
            levels = self.float32(rows)
            if stored.zero_point:
                zero = self._column(self.op("Gather", self._part(stored.zero_point, _LOOKUP), ids, axis=0))
                levels = self.op("Sub", levels, self.float32(zero))
            return self.op("Mul", levels, scale)
        _, blocks, half = stored.values.shape
        levels = self._nibbles(rows, [0, 0, blocks, 2 * half])
        if stored.zero_point is None:
            zero = self.f32(8)
        else:
            packed = self.op("Gather", self._part(stored.zero_point, _LOOKUP), ids, axis=0)
            zero = self._nibbles(packed, [0, 0, 2 * stored.zero_point.shape[1]])
            zero = self._column(self.op("Slice", zero, self.i64([0]), self.i64([blocks]), self.i64([2])))
        product = self.op("Mul", self.op("Sub", levels, zero), scale)
        return self.op("Reshape", product, self.i64([0, 0, stored.shape[1]]))

    def _nibbles(self, packed: Value, shape: list[int]) -> Value:
        """Unpack uint8 to twice as many values, low nibble first, float32."""
        low = self.op("BitwiseAnd", packed, self.constant(15, np.uint8))
        high = self.op("BitShift", packed, self.constant(4, np.uint8), direction="RIGHT")
        pair = self.op("Concat", self._column(low), self._column(high), axis=-1)
        return self.float32(self.op("Reshape", pair, self.i64(shape)))

    def _column(self, value: Value) -> Value:
        return self.op("Unsqueeze", value, self.i64([-1]))

    def _columns(self, stored: TensorLayout) -> Value:
        """[rows, cols] in float32, transposed; runtimes fold both when they load the model, or fuse them with the product."""
        name = f"{stored.name}/transposed"
        if stored.assignment.mode is None:
            return self.op("Transpose", self._plain(stored), perm=[1, 0], name=name)
        # bytes are transposed before they are de-quantized: the other way round onnxruntime takes four times as long to load
        values = self.op("Transpose", self._part(stored.values), perm=[1, 0], name=name)
        return self._dequantize(stored, values, axis=1)

    def _dequantized(self, stored: TensorLayout) -> Value:
        """A weight in float32, of int8 or not compressed."""
        if stored.assignment.mode is None:
            return self._plain(stored)
        return self._dequantize(stored, self._part(stored.values), axis=0)

    def _dequantize(self, stored: TensorLayout, values: Value, axis: int) -> Value:
        parts = [self._part(part) for part in (stored.scale, stored.zero_point) if part]
        return self.op("DequantizeLinear", values, *parts, axis=axis, name=f"{stored.name}/dequantized")

    def _plain(self, stored: TensorLayout) -> Value:
        value = self._part(stored.values)
        if stored.values.element == "f32":
            return value
        return self.op("Cast", value, to=self.types.FLOAT, name=f"{stored.name}/float32")

    def _once(self, what: str, name: str, make: Callable[[TensorLayout], Value]) -> Value:
        if (what, name) not in self._made:
            self._made[what, name] = make(self._tensors[name])
        return self._made[what, name]

    def part(self, part: Constant) -> Value:
        """Return one of the initializers that hold a tensor."""
        return self._part(part)

    def _part(self, part: Constant | None, suffix: str = "") -> Value:
        assert part
        name = part.name + suffix
        if name not in self._known:
            self._known[name] = self._initializer(part, name)
        return name

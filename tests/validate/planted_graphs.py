"""Faults planted into the graph of an artifact between one of its inputs, or its keys, and whoever reads them.

Each is written once for OpenVINO's operations and once for ONNX's. They change nothing of a prefill of one text.
llama.cpp's graph and cache lie in no file: what goes wrong there is planted by `planted_cells`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WINDOW, LATE, LAST = 128, 300, 4700
"""Positions that a broken decoding step sees; from which it miscounts; at which a broken graph stops counting."""


class OpenVINO:
    """Edits an IR."""

    file = "openvino_model.xml"

    def __init__(self, folder: Path) -> None:
        import openvino as ov
        from openvino import opset13 as ops

        self.ops, self.path = ops, folder / self.file
        self.model = ov.Core().read_model(self.path)
        self.inputs = {next(iter(p.output(0).get_names())): p.output(0) for p in self.model.get_parameters()}

    def save(self) -> None:
        import openvino as ov

        other = self.path.with_name("edited.xml")
        ov.save_model(self.model, other, compress_to_fp16=False)
        del self.model
        for suffix in (".xml", ".bin"):
            other.with_suffix(suffix).replace(self.path.with_suffix(suffix))

    def number(self, value: int | list[int]) -> Any:
        return self.ops.constant(np.array(value, np.int64))

    def behind(self, name: str, change: Callable[[Any], Any]) -> None:
        """Let the readers of an input read what `change` makes of it."""
        self._redirect(self.inputs[name], change)

    def keys(self, change: Callable[[Any], Any]) -> None:
        """Let attention read what `change` makes of keys and values, with their past."""
        products = [op for op in self.model.get_ordered_ops() if op.get_type_name() == "ScaledDotProductAttention"]
        assert products
        for op in products:
            for at in (1, 2):
                op.input(at).replace_source_output(change(op.input(at).get_source_output()).output(0))

    def _redirect(self, output: Any, change: Callable[[Any], Any]) -> None:
        readers = list(output.get_target_inputs())
        assert readers
        made = change(output).output(0)
        for reader in readers:
            reader.replace_source_output(made)

    def states(self) -> dict[tuple[str, int], Any]:
        """What is read from the cache, by kind ("key", "value", "conv", "ssm") and layer."""
        reads = {op.get_variable_id(): op for op in self.model.get_ops() if op.get_type_name() == "ReadValue"}
        return {_place(name): op.output(0) for name, op in reads.items()}

    def read(self, state: Any, change: Callable[[Any], Any]) -> None:
        """Let the readers of a state read what `change` makes of it."""
        self._redirect(state, change)

    def exchange(self, one: Any, other: Any) -> None:
        """Let the readers of each of two states read the other."""
        readers = [(reader, by) for state, by in ((one, other), (other, one)) for reader in state.get_target_inputs()]
        assert len(readers) >= 2
        for reader, by in readers:
            reader.replace_source_output(by)

    @property
    def layers(self) -> int:
        return len(self.of("ScaledDotProductAttention"))

    def of(self, kind: str) -> list[Any]:
        """All operations of a type, in order."""
        return [op for op in self.model.get_ordered_ops() if op.get_type_name() == kind]

    def readers(self, op: Any) -> list[Any]:
        """Who reads an operation, through what but adds a dimension, in order."""
        places = {one.get_name(): place for place, one in enumerate(self.model.get_ordered_ops())}
        found = list(op.output(0).get_target_inputs())
        if len(found) == 1 and found[0].get_node().get_type_name() == "Unsqueeze":
            found = list(found[0].get_node().output(0).get_target_inputs())
        return sorted(found, key=lambda reader: places[reader.get_node().get_name()])

    def halved(self, op: Any, kind: str) -> Any:
        """Cosine or sine of half the angles, as the readers take it."""
        angles = self.ops.multiply(op.input_value(0), self.ops.constant(np.float32(0.5)))
        return self.ops.unsqueeze(getattr(self.ops, kind.lower())(angles), self.number(1)).output(0)

    def point(self, reader: Any, made: Any) -> None:
        reader.replace_source_output(made)

    def curve(self, op: Any) -> None:
        self._redirect(op.output(0), lambda _: self.ops.gelu(op.input_value(0), "erf"))

    def reverse(self, op: Any, axis: int) -> None:
        count = op.output(0).get_partial_shape()[axis].get_length()
        places = self.number(list(range(count))[::-1])
        self._redirect(op.output(0), lambda made: self.ops.gather(made, places, self.number(axis)))

    def gather(self, value: Any, places: Any, axis: int) -> Any:
        return self.ops.gather(value, places, self.number(axis))

    def dimension(self, value: Any, axis: int) -> Any:
        return self.ops.gather(self.ops.shape_of(value), self.number(axis), self.number(0))

    def ones_like(self, value: Any) -> Any:
        return self.ops.broadcast(self.number(1), self.ops.shape_of(value))

    def first_row(self, value: Any) -> Any:
        return self.ops.broadcast(self.ops.gather(value, self.number([0]), self.number(0)), self.ops.shape_of(value))

    def counting(self, value: Any, axis: int) -> Any:
        """0, 1, 2 … to the length of an axis."""
        return self.ops.range(self.number(0), self.dimension(value, axis), self.number(1), "i64")

    def straight(self, value: Any) -> Any:
        return self.ops.convert(self.counting(value, 0), "i32")

    def if_one(self, length: Any, then: Any, otherwise: Any) -> Any:
        return self.ops.select(self.ops.equal(length, self.number(1)), then, otherwise)

    def where(self, condition: Any, then: Any, otherwise: Any) -> Any:
        return self.ops.select(condition, then, otherwise)

    def less(self, a: Any, b: Any) -> Any:
        return self.ops.less(a, b)

    def add(self, a: Any, b: Any) -> Any:
        return self.ops.add(a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.ops.minimum(a, b)


class Onnx:
    """Edits an ONNX model."""

    def __init__(self, folder: Path) -> None:
        import onnx

        self.path = folder / "model.onnx"
        self.model = onnx.load(self.path, load_external_data=False)
        self.count = 0
        self.new: list[Any] = []

    def save(self) -> None:
        nodes = [*self.new, *self.model.graph.node]
        made = {value.name for value in (*self.model.graph.input, *self.model.graph.initializer)}
        ordered = []
        while nodes:  # what is new stands where all it reads is there
            ready = [n for n in nodes if all(name in made or not name for name in n.input)]
            assert ready
            ordered += ready
            made |= {name for n in ready for name in n.output}
            nodes = [n for n in nodes if not all(name in made for name in n.output)]
        copies = [type(n).FromString(n.SerializeToString()) for n in ordered]
        del self.model.graph.node[:]
        self.model.graph.node.extend(copies)
        self.path.write_bytes(self.model.SerializeToString())

    def op(self, kind: str, *given: str, **attributes: Any) -> str:
        from onnx import helper

        self.count += 1
        name = f"planted/{self.count}"
        self.new.append(helper.make_node(kind, list(given), [name], name=name, **attributes))
        return name

    def number(self, value: int | list[int]) -> str:
        from onnx import numpy_helper

        self.count += 1
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"planted/{self.count}"))
        return f"planted/{self.count}"

    def behind(self, name: str, change: Callable[[Any], Any]) -> None:
        self._redirect(name, list(self.model.graph.node), change)

    def keys(self, change: Callable[[Any], Any]) -> None:
        outputs = [value.name for value in self.model.graph.output if value.name.startswith("present")]
        assert outputs
        for name in outputs:
            self._redirect(name, list(self.model.graph.node), change)

    def _redirect(self, name: str, nodes: list[Any], change: Callable[[Any], Any]) -> None:
        made = change(name)
        touched = 0
        for node in nodes:
            for at, value in enumerate(node.input):
                if value == name:
                    node.input[at] = made
                    touched += 1
        assert touched, name

    def states(self) -> dict[tuple[str, int], str]:
        names = [value.name for value in self.model.graph.input if value.name.startswith("past")]
        return {_place(name): name for name in names}

    def read(self, state: str, change: Callable[[str], str]) -> None:
        self._redirect(state, list(self.model.graph.node), change)

    def exchange(self, one: str, other: str) -> None:
        swapped = {one: other, other: one}
        places = [(n, at) for n in self.model.graph.node for at, name in enumerate(n.input) if name in swapped]
        assert len(places) >= 2
        for node, at in places:
            node.input[at] = swapped[node.input[at]]

    @property
    def layers(self) -> int:
        return len(self.of("Softmax"))

    def of(self, kind: str) -> list[Any]:
        return [node for node in self.model.graph.node if node.op_type == kind]

    def readers(self, node: Any) -> list[tuple[Any, int]]:
        nodes = self.model.graph.node
        return [(one, at) for one in nodes for at, name in enumerate(one.input) if name == node.output[0]]

    def halved(self, node: Any, kind: str) -> str:
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "planted/half"))
        return self.op(kind, self.op("Mul", node.input[0], "planted/half"))

    def point(self, reader: tuple[Any, int], made: str) -> None:
        reader[0].input[reader[1]] = made

    def curve(self, node: Any) -> None:
        node.op_type = "Tanh"

    def reverse(self, node: Any, axis: int) -> None:
        heads = next(value for value in self.model.graph.input if value.name.startswith("past_key_values"))
        count = heads.type.tensor_type.shape.dim[1].dim_value
        places = self.number(list(range(count))[::-1])
        self._redirect(node.output[0], list(self.model.graph.node), lambda made: self.gather(made, places, axis))

    def gather(self, value: str, places: str, axis: int) -> str:
        return self.op("Gather", value, places, axis=axis)

    def dimension(self, value: str, axis: int) -> str:
        return self.op("Gather", self.op("Shape", value), self.number(axis))

    def ones_like(self, value: str) -> str:
        return self.op("Expand", self.number([1]), self.op("Shape", value))

    def first_row(self, value: str) -> str:
        return self.op("Expand", self.op("Gather", value, self.number([0]), axis=0), self.op("Shape", value))

    def counting(self, value: str, axis: int) -> str:
        return self.op("Range", self.number(0), self.dimension(value, axis), self.number(1))

    def if_one(self, length: str, then: str, otherwise: str) -> str:
        return self.op("Where", self.op("Equal", length, self.number(1)), then, otherwise)

    def where(self, condition: str, then: str, otherwise: str) -> str:
        return self.op("Where", condition, then, otherwise)

    def less(self, a: str, b: str) -> str:
        return self.op("Less", a, b)

    def add(self, a: str, b: str) -> str:
        return self.op("Add", a, b)

    def minimum(self, a: str, b: str) -> str:
        return self.op("Min", a, b)


Graph = Any  # either of the two


def _place(name: str) -> tuple[str, int]:
    """The kind and layer of a state: past_key_values.3.key…, cache_params.past.conv.3…, past_recurrent.3."""
    kind, layer = re.search(r"[._](key|value|conv|ssm|recurrent)\b", name), re.search(r"\.(\d+)", name)
    assert kind, name
    assert layer, name
    return kind[1].replace("recurrent", "ssm"), int(layer[1])


def of_another_layer(*kinds: str) -> Callable[[Graph], None]:
    """Let the first two layers that have such states read each other's, and write their own as ever."""

    def plant(g: Graph) -> None:
        states = g.states()
        for kind in kinds:
            first, second, *_ = sorted(layer for known, layer in states if known == kind)
            g.exchange(states[kind, first], states[kind, second])

    return plant


def one_late(kind: str, axis: int) -> Callable[[Graph], None]:
    """Let the first layer that has such states read, at each place, what lies at the next one."""

    def plant(g: Graph) -> None:
        states = g.states()

        def shifted(state: Any) -> Any:
            last = g.add(g.dimension(state, axis), g.number(-1))
            places = g.minimum(g.add(g.counting(state, axis), g.number(1)), last)
            return g.gather(state, places, axis)

        g.read(states[kind, min(layer for known, layer in states if known == kind)], shifted)

    return plant


def mask_ignored(g: Graph) -> None:
    g.behind("attention_mask", g.ones_like)


def first_row_for_all(g: Graph) -> None:
    g.keys(g.first_row)


def beams_ignored(g: Graph) -> None:
    g.behind("beam_idx", g.straight)


def _of_length(g: Graph) -> Any:
    return g.dimension("input_ids" if isinstance(g, Onnx) else g.inputs["input_ids"], 1)


def window_in_decoding(g: Graph) -> None:
    """A single step does not see beyond WINDOW positions; a prefill does."""

    def hide(mask: Any) -> Any:
        ends = g.add(g.dimension(mask, 1), g.number(-WINDOW))
        near = g.where(g.less(g.counting(mask, 1), ends), g.number(0), mask)
        return g.if_one(_of_length(g), near, mask)

    g.behind("attention_mask", hide)


def late_positions(g: Graph) -> None:
    """A single step beyond position LATE counts one too many."""

    def shift(positions: Any) -> Any:
        shifted = g.where(g.less(g.number(LATE), positions), g.add(positions, g.number(1)), positions)
        return g.if_one(_of_length(g), shifted, positions)

    g.behind("position_ids", shift)


def clamped_positions(g: Graph) -> None:
    g.behind("position_ids", lambda positions: g.minimum(positions, g.number(LAST)))


def plant(folder: Path, fault: Callable[[Graph], None]) -> Path:
    """Edit the artifact in a folder, in place."""
    graph = OpenVINO(folder) if (folder / OpenVINO.file).is_file() else Onnx(folder)
    fault(graph)
    graph.save()
    return folder

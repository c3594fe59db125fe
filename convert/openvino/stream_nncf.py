"""The stream engine's graph with real constants, compressed by NNCF itself.

The constants are views of the mapped shards, so that the source still costs no memory; what NNCF makes of them does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.manifest import TensorEntry
from ...core.progress import Progress
from ...quantize import integer, nncf_call
from ...quantize.assign import Assignment
from ...quantize.scheme import Scheme
from ..checkpoint import Checkpoint
from . import ir_file, rt_info
from .data_aware import Calibration
from .engine import Exported
from .stream_ir import Ir
from .tensor_layout import Constant, store

_MODE_OF = {"i4": "int4_sym", "u4": "int4_asym", "i8": "int8_sym", "u8": "int8_asym"}


def export_with_nncf(
    checkpoint: Checkpoint,
    ir: Ir,
    out: Path,
    *,
    orders: dict[str, npt.NDArray[np.int64]],
    calibration: Calibration | None = None,
    progress: Progress,
) -> Exported:
    """Write one IR. `orders` permutes rows, as in `stream.row_orders`; `calibration` is for a scheme that has a text."""
    import openvino as ov

    views = _Views(checkpoint, ir, orders, progress)
    model = ir.build(views)
    measured = None
    if calibration:
        ir_file.name_nodes(model)  # NNCF keeps its statistics by these names
        measured = calibration.samples(model, f"stream {ir.name}{' fused' if orders else ''}")
    model = nncf_call.compress(model, ir.scheme, ir.ignored, measured, progress)
    rt_info.add(model, ir.scheme, generates=ir.generates)
    ir_file.name_nodes(model)
    ov.save_model(model, out / ir.xml, compress_to_fp16=False)
    ir_file.mark_decompression(out / ir.xml)
    return Exported(entries(model, ir.shapes, ir.scheme), "nncf", [], {})


class _Views:
    """Supplies the graph builder with constants over the mapped files."""

    def __init__(self, checkpoint: Checkpoint, ir: Ir, orders: dict[str, Any], progress: Progress) -> None:
        self._checkpoint = checkpoint
        self._shapes = ir.shapes
        self._orders = orders
        self._task = progress.task("Checking weights", sum(checkpoint.info(name).bytes for name in ir.shapes))
        self._outputs: dict[str, Any] = {}
        self._data: list[Any] = []  # the arrays must outlive the graph

    def __call__(self, name: str) -> Any:
        """Return the float32 output of a tensor; the same node for the same name."""
        if name not in self._outputs:
            info = self._checkpoint.info(name)
            stored = store(
                name,
                dtype=info.dtype,
                shape=self._shapes[name],
                assignment=Assignment(None),
                precision="int",
                row_order=self._orders.get(name),
            )
            self._outputs[name] = ir_file.dequantized(stored, self._constant)
        return self._outputs[name]

    def _constant(self, part: Constant) -> Any:
        from openvino import Tensor, Type, opset13

        array = self._checkpoint.tensor(part.name)
        with self._checkpoint.naming(part.name):
            integer.require_finite(array)
        if part.name in self._orders:
            array = array[self._orders[part.name]]
        self._task.advance(array.nbytes)
        self._data.append(array)
        tensor = Tensor(array, list(part.shape), getattr(Type, part.element))
        return opset13.constant(tensor, shared_memory=True, name=part.name)


def entries(model: Any, shapes: dict[str, tuple[int, ...]], scheme: Scheme) -> list[TensorEntry]:
    """Read from a compressed graph how it stores each tensor: values, zero points, scales and codebooks by name."""
    constants: dict[str, list[Any]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant":
            constants.setdefault(_owner(node.get_friendly_name(), shapes), []).append(node)
    return [_entry(name, shape, constants[name], scheme) for name, shape in shapes.items()]


def _owner(constant: str, shapes: dict[str, tuple[int, ...]]) -> str:
    """The tensor that a constant belongs to: NNCF puts its suffixes behind "/" or "_"."""
    if constant in shapes:
        return constant
    stem = constant.split("/", 1)[0]
    if stem in shapes:
        return stem
    return next((name for name in shapes if constant.startswith(name + "_")), "")


def _entry(name: str, shape: tuple[int, ...], constants: list[Any], scheme: Scheme) -> TensorEntry:
    values = max(constants, key=lambda node: np.prod(list(node.get_output_shape(0)), dtype=np.int64))
    element = values.get_element_type().get_type_name()
    compressed = len(constants) > 1
    mode = _MODE_OF.get(element, scheme.backup if element == "f8e4m3" and scheme.bits < 8 else scheme.mode)
    if element == "u4" and scheme.mode == "cb4":
        mode = scheme.mode
    stored_shape = list(values.get_output_shape(0))
    return TensorEntry(
        name=name,
        shape=list(shape),
        precision=mode if compressed else element,
        group_size=(stored_shape[-1] if len(stored_shape) > len(shape) else -1) if compressed else None,
        bytes=sum(node.get_byte_size() for node in constants),
    )

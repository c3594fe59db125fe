"""Put weights that are not quantized yet into a graph: a stand-in for each constant, wired up as NNCF wires its own.

Source: NNCF 3.4.0, `weight_compression/openvino_backend.py::{transform_model, _create_compression_subgraph, _replace_node}`
and `openvino/rt_info.py::dump_parameters`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.dtypes import BY_ELEMENT
from ...quantize.assign import Assignment
from ...quantize.scheme import INT8_MODES, Scheme
from .compress_find import Compressible
from .tensor_layout import Constant, TensorLayout, store


class StandIns:
    """Makes constants of the right type and shape that all share one block of zeros."""

    def __init__(self, largest: int) -> None:
        self._zeros: npt.NDArray[np.uint8] = np.zeros(largest + 4, np.uint8)

    def __call__(self, part: Constant) -> Any:
        """Return the constant of a part. It is valid for as long as this object lives."""
        from openvino import Tensor, Type, opset13

        tensor = Tensor(self._zeros[: part.size], list(part.shape), getattr(Type, part.element))
        return opset13.constant(tensor, shared_memory=True, name=part.name)


def plan(found: list[Compressible], table: dict[str, Assignment], scheme: Scheme) -> list[TensorLayout]:
    """Say how each weight is stored, those left out that stay as they are."""
    planned = []
    for one in found:
        element = one.node.get_element_type().get_type_name()
        assignment = table[one.weight.name]
        precision = scheme.mode if not scheme.compresses else "int"
        stored = store(
            one.weight.name,
            dtype=BY_ELEMENT[element].stored,
            shape=one.weight.shape,
            assignment=assignment,
            precision=precision,
        )
        if assignment.mode is not None or stored.values.element != element:
            planned.append(stored)
    return planned


def replace(found: Compressible, stored: TensorLayout, constant: StandIns) -> None:
    """Let everything that reads the weight read its de-quantized (or converted) stand-in instead."""
    from openvino import opset13 as ops

    node, compressed = found.node, stored.assignment.mode is not None
    new = _dequantized(stored, found.port, constant) if compressed else constant(stored.values)
    same = new
    if new.get_element_type() != node.get_element_type():
        same = ops.convert(new, node.get_element_type(), name=f"{stored.name}/convert")
    for target in node.output(0).get_target_inputs():
        reader = target.get_node()
        if reader.get_type_name() != "Convert":
            target.replace_source_output(same.output(0))
        elif reader.get_element_type() != new.get_element_type():
            target.replace_source_output(new.output(0))
        else:  # a conversion to the type that it has now
            for end in reader.output(0).get_target_inputs():
                end.replace_source_output(new.output(0))


def _dequantized(stored: TensorLayout, port: int, constant: StandIns) -> Any:
    """Build the subgraph constants → float16 [rows, columns]."""
    from openvino import Type
    from openvino import opset13 as ops

    name = stored.name
    value = ops.convert(constant(stored.values), Type.f16)
    if stored.zero_point:
        zero = ops.convert(constant(stored.zero_point), Type.f16)
        value = ops.subtract(value, zero, name=f"{name}/zero_point/subtract")
    if stored.scale:
        value = ops.multiply(value, constant(stored.scale), name=f"{name}/fq_weights_{port}")
    if stored.assignment.group_size != -1:
        value = ops.reshape(value, ops.constant(np.array(stored.shape, np.int64)), special_zero=False)
    return value


def add_rt_info(model: Any, scheme: Scheme) -> None:
    """Say in the rt_info what NNCF says, so that what looks there finds a compressed model and does not compress it again."""
    from importlib.metadata import version

    parameters = {
        "mode": scheme.mode,
        "group_size": scheme.group_size,
        "ratio": 1 if scheme.mode in INT8_MODES else scheme.ratio,
        "all_layers": scheme.all_layers,
        "ignored_scope": [],
        "sensitivity_metric": "weight_quantization_error",
        "awq": False,
        "scale_estimation": False,
        "gptq": False,
        "lora_correction": False,
        "backup_mode": "int8_asym" if scheme.mode in INT8_MODES else scheme.backup,
        "compression_format": "dequantize",
        "advanced_parameters": {"group_size_fallback_mode": scheme.group_size_fallback},
    }
    for key, value in parameters.items():
        model.set_rt_info(str(value), ["nncf", "weight_compression", key])
    model.set_rt_info("True", ["nncf", "friendly_names_were_updated"])
    model.set_rt_info(version("nncf"), ["nncf", "version"])

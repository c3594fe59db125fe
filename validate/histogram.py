"""How the weights of a converted model are stored: counted from its manifest, or from the IR itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.graph_file import read_graph
from ..core.manifest import TensorEntry


@dataclass(frozen=True)
class Share:
    """What one way of storing makes up: tensors, their parameters, their bytes with scales and zero points.

    `group_size` is the number of weights that share a scale: -1 the row, None not compressed (or unknown).
    """

    precision: str
    group_size: int | None
    tensors: int
    parameters: int
    bytes: int


def of_manifest(tensors: Iterable[TensorEntry]) -> list[Share]:
    """Count the manifest's tensors by precision and group size, the largest share first."""
    return _count((entry.precision, entry.group_size, math.prod(entry.shape), entry.bytes) for entry in tensors)


def of_ir(xml: Path) -> list[Share]:
    """Count the constants of an IR by OpenVINO element type, the largest share first.

    Scales, zero points, shapes and axes are constants too, so this says less than a manifest does.

    Raises:
        ArtifactError: openvino cannot read it.
    """
    model = read_graph(xml)
    constants = []
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            kind, shape = node.get_output_element_type(0), list(node.get_output_shape(0))
            elements = math.prod(shape)
            constants.append((kind.get_type_name(), None, elements, (elements * kind.bitwidth + 7) // 8))
    return _count(constants)


def of_onnx(folder: Path) -> list[Share]:
    """Count the weights of an ONNX artifact by element type, the largest share first; scales and zero points are left out.

    Raises:
        ArtifactError: one cannot be read.
    """
    from ..runtimes import elements, onnx_models
    from ..runtimes.onnx_graph import open_graph
    from .weights.onnx_find import find

    bits = elements.FLOATS | elements.INTEGERS
    found = [one for name in onnx_models.names(folder) for one in find(open_graph(folder / name))]
    return _count((one.element, None, one.size, one.size * bits[one.element] // 8) for one in found)


def _count(entries: Iterable[tuple[str, int | None, int, int]]) -> list[Share]:
    sums: dict[tuple[str, int | None], list[int]] = {}
    for precision, group, parameters, size in entries:
        total = sums.setdefault((precision, group), [0, 0, 0])
        for column, amount in enumerate((1, parameters, size)):
            total[column] += amount
    shares = [Share(precision, group, *total) for (precision, group), total in sums.items()]
    return sorted(shares, key=lambda share: (-share.bytes, share.precision, str(share.group_size)))

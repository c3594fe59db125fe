"""Which ONNX models a checkpoint becomes, which tensors each holds, and where these lie in its file of weights.

A text model is one: `model.onnx` with `model.onnx_data`. A vision-language model is three: the language model, which begins at
the embeddings; the table of embeddings; and the vision encoder. A tied table is the language model's head too, and both hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.dtypes import FLOATS
from ...quantize.assign import Assignment, Weight, assign
from ...quantize.scheme import Scheme
from ..checkpoint import Checkpoint
from ..openvino import stream_ir
from ..openvino.ir_file import Layout
from ..openvino.tensor_layout import Constant, TensorLayout, is_stack
from ..program.decoder import Decoder
from ..program.encoder import Encoder
from ..program.vision import Vision
from . import graphs
from .names import TEXT, VISION_PARTS
from .ops import Graph
from .tensor_layout import group, store

ALIGNMENT = 4096
"""Bytes; ONNX asks for whole pages, so that a runtime can map an initializer by itself."""
_ELEMENT = {"u8": "UINT8", "i8": "INT8"} | {kind.element: kind.onnx for kind in FLOATS}

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Model:
    """One ONNX model.

    Attributes:
        name: of its two files, without the ending.
        shapes: tensor → shape, in the order in which they lie in the file of weights.
        weights: those that the scheme compresses, in the order of the graph.
        build: adds inputs, nodes and outputs to a graph.
        scheme: of its weights.
    """

    name: str
    shapes: Shapes
    weights: list[Weight]
    build: Callable[[Graph], None]
    scheme: Scheme

    @property
    def graph(self) -> str:
        """Name of the graph's file."""
        return f"{self.name}.onnx"

    @property
    def data(self) -> str:
        """Name of the weights' file."""
        return f"{self.name}.onnx_data"

    def stored(self, checkpoint: Checkpoint, table: dict[str, Assignment]) -> list[TensorLayout]:
        """Say how each tensor lies in the file of weights; `table` is `assign`'s."""
        groups = experts_groups(self.shapes, table)
        return [
            store(
                name,
                dtype=checkpoint.info(name).dtype,
                shape=shape,
                assignment=table.get(name, Assignment(None)),
                precision=self.scheme.mode,
                beside=groups.get(name, ()),
            )
            for name, shape in self.shapes.items()
        ]

    def forecast(self, checkpoint: Checkpoint) -> list[TensorLayout]:
        """Say the same from shapes alone; what a ratio below 1 compresses further is known to within one weight."""
        return self.stored(checkpoint, assign(self.weights, self.scheme, lambda weight: float(weight.size)))

    def proto(self, tensors: list[TensorLayout], layout: Layout, accuracy_level: int) -> Any:
        """Return the graph (`onnx.ModelProto`), whose weights are places in the file beside it."""
        graph = Graph(
            {stored.name: stored for stored in tensors},
            partial(_external, location=self.data, layout=layout),
            accuracy_level=accuracy_level,
        )
        self.build(graph)
        return graph.model(self.name, ("edgeconv", __version__))


def cut(
    decoder: Decoder | Encoder, scheme: Scheme, vision: Vision | None = None, vision_scheme: Scheme | None = None
) -> list[Model]:
    """Return the models of a checkpoint, the one that generates first."""
    irs = stream_ir.cut(decoder, scheme, vision, vision_scheme, woven=True)
    if vision and vision_scheme:
        irs = [*irs[:2], *stream_ir.cut_vision([vision.whole()], vision.kept, vision_scheme)]
    names: tuple[str, ...] = (TEXT,)
    if not isinstance(decoder, Decoder):
        (ir,) = irs
        return [Model(TEXT, ir.shapes, ir.weights, partial(graphs.build_encoder, encoder=decoder), ir.scheme)]
    builds: list[Callable[[Graph], None]] = [partial(graphs.build, decoder=decoder, from_embeds=bool(vision))]
    if vision:
        names = VISION_PARTS
        builds += [partial(graphs.build_embeddings, decoder=decoder), partial(graphs.build_graph, part=vision.whole())]
    return [
        Model(name, ir.shapes, ir.weights, build, ir.scheme) for name, ir, build in zip(names, irs, builds, strict=True)
    ]


def experts_groups(shapes: Shapes, table: dict[str, Assignment]) -> dict[str, tuple[int, ...]]:
    """Return how many weights share a scale in each stack of a layer, by the name of each: one operator takes all of them."""
    layers: dict[str, list[str]] = {}
    for name, shape in shapes.items():
        if is_stack(shape) and (table.get(name) or Assignment(None)).mode:
            layers.setdefault(name.rsplit(".", 2)[0], []).append(name)
    return {
        name: tuple(group(table[one], shapes[one][-1]) for one in names) for names in layers.values() for name in names
    }


def lay_out(tensors: list[TensorLayout]) -> Layout:
    """Fix the offset of every initializer that lies in the file of weights."""
    offsets: dict[str, int] = {}
    position = 0
    for part in (part for stored in tensors for part in stored.parts):
        position = -(-position // ALIGNMENT) * ALIGNMENT
        offsets[part.name] = position
        position += part.size
    return Layout(offsets, [], position)


def write_graph(proto: Any, path: Path) -> None:
    """Write the graph; the same one gives the same bytes."""
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _external(part: Constant, name: str, *, location: str, layout: Layout) -> Any:
    import onnx

    tensor = onnx.TensorProto(
        name=name,
        data_type=getattr(onnx.TensorProto, _ELEMENT[part.element]),
        dims=part.shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in (("location", location), ("offset", layout.offsets[part.name]), ("length", part.size)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor

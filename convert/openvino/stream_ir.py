"""Which IRs a checkpoint becomes, and which tensors each of them holds.

A text model is one IR. A vision-language model is several, named as optimum-intel names them: the language model, which begins at
the embeddings; the table of embeddings; and the vision encoder, in one or more. A tied table is the language model's head too;
both hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...quantize.assign import Assignment, Role, Weight, assign
from ...quantize.scheme import Scheme, bits_of
from ..checkpoint import Checkpoint
from ..program.decoder import HEAD, Decoder
from ..program.description import TABLE
from ..program.encoder import Encoder
from ..program.vision import VISION_EMBEDDINGS as _FIRST
from ..program.vision import Graph, Vision
from . import stream_experts, stream_models
from .stream_layers import rotary_name
from .stream_ops import Weights
from .tensor_layout import TensorLayout, store

TEXT = "openvino_model"
LANGUAGE = "openvino_language_model"
TEXT_EMBEDDINGS = "openvino_text_embeddings_model"
VISION_EMBEDDINGS = f"openvino_{_FIRST}_model"
_KERNELS = (".conv.weight", ".conv1d.weight")
"""Convolutions of each channel by itself: a few numbers, which stay as they are."""

_MATRICES = (2, 4, 5)
"""Dimensions of matrices, and of the kernels of convolutions over pictures and films."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Ir:
    """One IR: a graph, the tensors that it holds, and how they are stored.

    Attributes:
        name: of its two files, without the ending.
        shapes: tensor → shape, in the order in which they lie in the .bin.
        weights: those that the scheme compresses, in the order of the graph.
        build: makes the graph (`openvino.Model`) around constants.
        scheme: of its weights.
        ignored: nodes of the graph that NNCF takes for weights although they are none.
        generates: it holds the cache of keys and values.
    """

    name: str
    shapes: Shapes
    weights: list[Weight]
    build: Callable[[Weights], Any]
    scheme: Scheme
    ignored: tuple[str, ...] = ()
    generates: bool = False

    @property
    def xml(self) -> str:
        """Name of the graph's file."""
        return f"{self.name}.xml"

    @property
    def bin(self) -> str:
        """Name of the weights' file."""
        return f"{self.name}.bin"

    def stored(
        self, checkpoint: Checkpoint, table: dict[str, Assignment], orders: dict[str, Any] | None = None
    ) -> list[TensorLayout]:
        """Say how each tensor lies in the .bin; `table` is `assign`'s, `orders` permutes rows."""
        return [
            store(
                name,
                dtype=checkpoint.info(name).dtype,
                shape=shape,
                assignment=table.get(name, Assignment(None)),
                precision=self.scheme.mode,
                row_order=(orders or {}).get(name),
            )
            for name, shape in self.shapes.items()
        ]

    def predicted_size(self, checkpoint: Checkpoint) -> int:
        """Return the bytes of the .bin, from shapes alone.

        Which weights a ratio below 1 compresses further is not known yet: their number is, to within one weight.
        """
        table = assign(self.weights, self.scheme, lambda weight: float(weight.size))
        if self.scheme.compresses and not self.scheme.exact:
            return sum(w.size * bits_of(table[w.name].mode or "bf16") // 8 for w in self.weights)
        return sum(s.size for s in self.stored(checkpoint, table))


def cut(
    decoder: Decoder | Encoder,
    scheme: Scheme,
    vision: Vision | None = None,
    vision_scheme: Scheme | None = None,
    *,
    woven: bool | None = None,
) -> list[Ir]:
    """Return the IRs of a checkpoint, the one that generates first; of an encoder its only one.

    `woven`: gate and up of experts are one stack (`program.experts`); None: where OpenVINO's fusion wants it so.
    """
    if not isinstance(decoder, Decoder):
        return [_encoder(decoder, scheme)]
    if vision is None or vision_scheme is None:
        return [_text(decoder, scheme, stream_experts.woven(decoder) if woven is None else woven)]
    language = _language(decoder, scheme, stream_experts.woven(decoder) if woven is None else woven)
    return [language, _text_embeddings(decoder, scheme), *cut_vision(vision.graphs(), vision.kept, vision_scheme)]


def _text(decoder: Decoder, scheme: Scheme, woven: bool) -> Ir:
    shapes = decoder.tensors(woven=woven)
    weights = _of_decoder(decoder, shapes, decoder.tied, woven)
    build = partial(stream_models.build, decoder)
    return Ir(TEXT, shapes, weights, build, scheme, _ignored(decoder, shapes, weights, scheme), True)


def _of_decoder(decoder: Decoder, shapes: Shapes, tied: bool, woven: bool) -> list[Weight]:
    found = _weights(shapes, tied, decoder.lookups, stacks=decoder.stacks(woven=woven), delicate=decoder.delicate)
    return [replace(one, router=one.name in decoder.routers) for one in found]


def _ignored(decoder: Decoder, shapes: Shapes, weights: list[Weight], scheme: Scheme) -> tuple[str, ...]:
    single = tuple(name.removesuffix(".weight") for name, shape in shapes.items() if len(shape) == 2 and shape[0] == 1)
    return (*_rotary(decoder), *_recurrent(shapes, weights, scheme), *single)


def _encoder(encoder: Encoder, scheme: Scheme) -> Ir:
    shapes = encoder.tensors()
    weights = _weights({n: s for n, s in shapes.items() if n not in encoder.kept}, False, encoder.lookups)
    single = (name.removesuffix(".weight") for name, shape in shapes.items() if len(shape) == 2 and shape[0] == 1)
    ignored = (*(rotary_name(index) for index in range(encoder.ropes)), *single, *encoder.kept)
    return Ir(TEXT, shapes, weights, partial(stream_models.build_encoder, encoder), scheme, ignored)


def _recurrent(shapes: Shapes, weights: list[Weight], scheme: Scheme) -> list[str]:
    """Return the nodes of kernels, and of products whose weights get no fewer than eight bits: NNCF leaves them as they are."""
    kernels = [name for name in shapes if name.endswith(_KERNELS)]
    delicate = [] if scheme.mode.startswith("int8") else [weight.name for weight in weights if weight.delicate]
    return [name.removesuffix(".weight") for name in (*kernels, *delicate)]


def _language(decoder: Decoder, scheme: Scheme, woven: bool) -> Ir:
    """Without the lookup; a tied table is then an ordinary last layer."""
    shapes = decoder.tensors(woven=woven)
    table = shapes.pop(TABLE)
    weights = _of_decoder(decoder, shapes, False, woven)
    if decoder.tied:
        shapes[TABLE] = table
        weights.append(Weight(TABLE, table, "matmul", is_last=True))
    build = partial(stream_models.build, decoder, from_embeds=True)
    return Ir(LANGUAGE, shapes, weights, build, scheme, _ignored(decoder, shapes, weights, scheme), True)


def _rotary(decoder: Decoder) -> tuple[str, ...]:
    return tuple(rotary_name(index) for index in range(len(decoder.distinct_ropes())))


def _text_embeddings(decoder: Decoder, scheme: Scheme) -> Ir:
    shapes = {TABLE: decoder.tensors()[TABLE]}
    build = partial(stream_models.build_embeddings, decoder)
    return Ir(TEXT_EMBEDDINGS, shapes, _weights(shapes, tied=False, lookups=decoder.lookups), build, scheme)


def cut_vision(graphs: Sequence[Graph], kept: Container[str], scheme: Scheme) -> list[Ir]:
    """Return the IRs of a vision encoder alone; `kept` are the matrices that nothing compresses."""
    return [
        Ir(
            f"openvino_{graph.name}_model",
            graph.tensors,
            [
                _of_encoder(name, shape)
                for name, shape in graph.tensors.items()
                if len(shape) in _MATRICES and name not in kept
            ],
            partial(stream_models.build_graph, graph),
            scheme,
        )
        for graph in graphs
    ]


def _of_encoder(name: str, shape: tuple[int, ...]) -> Weight:
    role: Role = "matmul" if len(shape) == 2 else "convolution"
    return Weight(name, (shape[0], math.prod(shape[1:])), role)


def _weights(
    shapes: Shapes,
    tied: bool,
    lookups: Container[str],
    *,
    stacks: Container[str] = (),
    delicate: Container[str] = (),
) -> list[Weight]:
    """The matrices among a decoder's tensors, each constant once; a stack's are all rows of one, and one of one row is none."""
    found = []
    for name, shape in shapes.items():
        if name in stacks:
            found.append(Weight(name, (math.prod(shape[:-1]), shape[-1]), "matmul"))
        elif len(shape) == 2 and shape[0] > 1:
            role: Role = "embedding" if name in lookups else "matmul"
            is_last = name == HEAD or (tied and name == TABLE)
            found.append(Weight(name, shape, role, is_last, name in delicate))
    return found

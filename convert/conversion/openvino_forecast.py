"""How an OpenVINO artifact's tensors will be stored, and from that its size: near exact, from shapes alone.

The .bin files follow from the shapes. The .xml files were measured: `_LAYER` bytes a decoder layer (GLM 71.5 kB, Llama 68 kB)
and, for each compressed weight, the subgraph that de-quantizes it. openvino_tokenizers makes 0.72 bytes of each byte of
tokenizer.json. Off by 0.05 to 0.3 % on the built-in model, by 0.7 % at most on SmolLM2 and GLM-Edge-1.5B's geometry.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...quantize.assign import Assignment, Weight, assign
from ...quantize.scheme import Scheme, bits_of
from ..checkpoint import Checkpoint
from ..openvino import assets, ir_file
from ..openvino.choose import Choice
from ..openvino.tensor_layout import TensorLayout, store
from . import memory

_GRAPH, _LAYER, _TENSOR = 22_000, 70_000, 2_250
_SUBGRAPH = {"int8_asym": 2_610, "int8_sym": 1_430, "int4_sym": 2_224, "int4_asym": 3_656}
_TOKENIZERS, _TOKENIZERS_SLOPE = 33_000, 0.72


@dataclass(frozen=True)
class Forecast:
    """What will be there: bytes of all files of the artifact, and bytes of memory at the peak."""

    output_bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class _Part:
    """One IR: its tensors, the decoder layers in its graph, and the scheme of its weights."""

    tensors: list[TensorLayout]
    layers: int
    scheme: Scheme


def forecast(
    checkpoint: Checkpoint, choice: Choice, scheme: Scheme, vision_scheme: Scheme | None, *, compressor: str
) -> Forecast:
    """Predict size and memory; `compressor` as the user asks for it ("auto" or "nncf")."""
    parts = _streamed(checkpoint, choice, scheme, vision_scheme) if choice.described else _traced(checkpoint, scheme)
    nncf = any(p.scheme.compresses and (compressor == "nncf" or not p.scheme.exact) for p in parts)
    return Forecast(
        sum(map(_ir_bytes, parts)) + _beside(checkpoint),
        memory.openvino(
            checkpoint,
            [stored for part in parts for stored in part.tensors],
            sum(part.layers for part in parts),
            engine=choice.engine,
            nncf=nncf,
            exact=all(part.scheme.exact or not part.scheme.compresses for part in parts),
        ),
    )


def _streamed(checkpoint: Checkpoint, choice: Choice, scheme: Scheme, vision_scheme: Scheme | None) -> list[_Part]:
    from ..openvino import stream_ir

    assert choice.described
    parts = []
    for ir in stream_ir.cut(choice.described, scheme, choice.vision, vision_scheme):
        table = _assigned(ir.weights, ir.scheme)
        tensors = [_stored(checkpoint, name, shape, table, ir.scheme) for name, shape in ir.shapes.items()]
        parts.append(_Part(tensors, choice.described.num_layers if ir.generates or choice.encoder else 0, ir.scheme))
    return parts


def _traced(checkpoint: Checkpoint, scheme: Scheme) -> list[_Part]:
    from ..openvino import trace

    table = _assigned(trace.weights(checkpoint), scheme)
    tensors = [
        _stored(checkpoint, name, checkpoint.info(name).shape, table, scheme) for name in sorted(checkpoint.names)
    ]
    return [_Part(tensors, _layers(checkpoint.config), scheme)]


def _assigned(weights: list[Weight], scheme: Scheme) -> dict[str, Assignment]:
    """Give each weight its mode; which of them a ratio below 1 compresses further is not known yet, but about how many are."""
    return assign(weights, scheme, lambda weight: float(weight.size))


def _flat(name: str, shape: tuple[int, ...]) -> Weight:
    return Weight(name, (shape[0], math.prod(shape[1:])), "matmul" if len(shape) == 2 else "convolution")


def _stored(
    checkpoint: Checkpoint, name: str, shape: tuple[int, ...], table: dict[str, Assignment], scheme: Scheme
) -> TensorLayout:
    """Say how a tensor lies in the .bin; a mode that only NNCF has takes the room of the int4 or int8 mode of its width."""
    assignment = table.get(name, Assignment(None))
    if assignment.mode and assignment.mode not in _SUBGRAPH:
        mode = "int4_sym" if bits_of(assignment.mode) <= 4 else "int8_sym"
        assignment = Assignment(mode, assignment.group_size)
    return store(name, dtype=checkpoint.info(name).dtype, shape=shape, assignment=assignment, precision=scheme.mode)


def _ir_bytes(part: _Part) -> int:
    constants = sum(-(-p.size // ir_file.ALIGNMENT) * ir_file.ALIGNMENT for s in part.tensors for p in s.parts)
    graph = part.layers * _LAYER if part.layers else len(part.tensors) * _TENSOR
    subgraphs = sum(_SUBGRAPH[s.assignment.mode] for s in part.tensors if s.assignment.mode)
    return constants + (_GRAPH if part.layers else 0) + graph + subgraphs


def _beside(checkpoint: Checkpoint) -> int:
    """Bytes of the tokenizers' IRs and of the files that are copied."""
    return _sizes(assets.sources(checkpoint.folder)) + int(
        _TOKENIZERS + _TOKENIZERS_SLOPE * memory.vocabulary_bytes(checkpoint)
    )


def _sizes(paths: Iterable[Any]) -> int:
    return sum(path.stat().st_size for path in paths)


def _layers(config: dict[str, Any]) -> int:
    """Layers of the decoder, by the names that configs have for them."""
    for part in (config.get("text_config") or {}, config):
        for key in ("num_hidden_layers", "n_layer", "num_layers", "n_layers"):
            if isinstance(part.get(key), int):
                return int(part[key])
    return 0

"""The stream engine's ONNX graphs: the block programs between inputs and outputs with the names of optimum's exports.

Inputs: input_ids int64 [batch, n], attention_mask int64 [batch, past + n], position_ids int64 [batch, n], and for each layer
past_key_values.{i}.{key,value} float32 [batch, kv_heads, past, head_dim]. Outputs: logits float32 [batch, n, vocab] and
present.{i}.{key,value}, past and new in one. The language model of a vision-language model has inputs_embeds float32
[batch, n, hidden] in the place of input_ids, further inputs where the family has some (`Decoder.picture_inputs`), and the table
of embeddings in a model of its own. Its vision encoder is one graph (`program.vision.Vision.whole`), from pixel_values,
normalized, to image_features.
"""

from __future__ import annotations

from ..program import block
from ..program.decoder import Decoder
from ..program.encoder import Encoder, output_of
from ..program.vision import Graph as Encoded
from .layers import Layers
from .names import EMBEDS, FEATURES, IDS, LOGITS
from .ops import Graph

_TYPES = {"float32": "FLOAT", "int64": "INT64", "bool": "BOOL"}


def build(graph: Graph, decoder: Decoder, *, from_embeds: bool = False) -> None:
    """Add the decoder's inputs, nodes and outputs to an empty graph; `from_embeds`: its input is inputs_embeds."""
    layers, types = Layers(graph), graph.types
    if from_embeds:
        start = graph.input(EMBEDS, types.FLOAT, ["batch", "n", decoder.hidden_size])
    else:
        start = graph.input(IDS, types.INT64, ["batch", "n"])
    mask = graph.input("attention_mask", types.INT64, ["batch", "total"])
    positions = graph.input("position_ids", types.INT64, [*([decoder.axes] if decoder.axes else []), "batch", "n"])
    beside = {
        one.name: graph.input(one.name, getattr(types, _TYPES[one.kind]), _named(one.name, one.shape, first="batch"))
        for one in decoder.picture_inputs
    }
    logits = block.decode(layers, decoder, start, mask, positions, from_embeds=from_embeds, beside=beside)
    graph.output(logits, LOGITS, types.FLOAT, ["batch", "n", decoder.vocab_size])
    for name, shape in layers.caches:
        graph.output(name, name, types.FLOAT, shape)


def build_embeddings(graph: Graph, decoder: Decoder) -> None:
    """Add the table of embeddings alone: input_ids to inputs_embeds."""
    ids = graph.input(IDS, graph.types.INT64, ["batch", "n"])
    rows = block.embed(Layers(graph), decoder, ids)
    graph.output(rows, EMBEDS, graph.types.FLOAT, ["batch", "n", decoder.hidden_size])


def build_encoder(graph: Graph, encoder: Encoder) -> None:
    """Add an encoder's inputs, nodes and output to an empty graph: states [batch, n, width], or scores [batch, labels]."""
    given = {name: graph.input(name, graph.types.INT64, ["batch", "n"]) for name in encoder.inputs}
    made = encoder.write(Layers(graph), given)
    scores = encoder.task.kind == "score"
    graph.output(
        made, output_of(encoder), graph.types.FLOAT,
        ["batch", encoder.task.labels] if scores else ["batch", "n", encoder.width],
    )  # fmt: skip


def build_graph(graph: Graph, part: Encoded) -> None:
    """Add a vision encoder's inputs, nodes and outputs to an empty graph; the rows are called image_features."""
    types = {kind: getattr(graph.types, name) for kind, name in _TYPES.items()}
    given = {one.name: graph.input(one.name, types[one.kind], _named(one.name, one.shape)) for one in part.inputs}
    made = list(part.write(Layers(graph), given))
    if len(made) == 1:
        made = [graph.rename_last(made[0], FEATURES)]
    for place, (value, output) in enumerate(zip(made, part.outputs, strict=True)):
        name = output.name if place else FEATURES
        graph.output(value, name, graph.types.FLOAT, _named(name, output.shape))


def _named(name: str, shape: tuple[int, ...], first: str = "n") -> list[int | str]:
    """Name the dimensions of any size, as ONNX wants."""
    return [size if size >= 0 else f"{name}_{axis}" if axis else first for axis, size in enumerate(shape)]

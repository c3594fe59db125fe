"""The stream engine's ONNX graphs: the block programs between inputs and outputs with the names of optimum's exports.

Inputs: input_ids int64 [batch, n], attention_mask int64 [batch, past + n], position_ids int64 [batch, n], and for each layer
past_key_values.{i}.{key,value} float32 [batch, kv_heads, past, head_dim]. Outputs: logits float32 [batch, n, vocab] and
present.{i}.{key,value}, past and new in one. The language model of a vision-language model has inputs_embeds float32
[batch, n, hidden] in the place of input_ids, and the table of embeddings in a model of its own. Its vision encoder goes from
pixel_values float32 [n, channels, S, S], normalized, to image_features float32 [n, image_tokens, hidden].
"""

from __future__ import annotations

from ..families import vision_block
from ..families.glm_edge_v import Vision
from ..program import block
from ..program.decoder import Decoder
from ..program.encoder import Encoder, output_of
from .layers import Layers
from .names import EMBEDS, FEATURES, IDS, LOGITS, PIXELS
from .ops import Graph


def build(graph: Graph, decoder: Decoder, *, from_embeds: bool = False) -> None:
    """Add the decoder's inputs, nodes and outputs to an empty graph; `from_embeds`: its input is inputs_embeds."""
    layers, types = Layers(graph), graph.types
    if from_embeds:
        start = graph.input(EMBEDS, types.FLOAT, ["batch", "n", decoder.hidden_size])
    else:
        start = graph.input(IDS, types.INT64, ["batch", "n"])
    mask = graph.input("attention_mask", types.INT64, ["batch", "total"])
    positions = graph.input("position_ids", types.INT64, ["batch", "n"])
    logits = block.decode(layers, decoder, start, mask, positions, from_embeds=from_embeds)
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


def build_vision(graph: Graph, vision: Vision) -> None:
    """Add the vision encoder's and the adapter's input, nodes and output to an empty graph."""
    size = vision.image_size
    pixels = graph.input(PIXELS, graph.types.FLOAT, ["n", vision.channels, size, size])
    features = vision_block.encode(Layers(graph), vision, pixels)
    graph.output(features, FEATURES, graph.types.FLOAT, ["n", vision.image_tokens, vision.out_size])

"""The stream engine's models (`openvino.Model`): the block programs between inputs and outputs with optimum-intel's names.

Inputs: input_ids int64 [batch, n], attention_mask int64 [batch, past + n], position_ids int64 [batch, n],
beam_idx int32 [batch]. Output: logits float32 [batch, n, vocab]. Keys and values live in variables
`past_key_values.{i}.{key,value}present.{i}.{key,value}`, float32 [batch, kv_heads, past, head_dim].
The language model of a vision-language model has inputs_embeds float32 [batch, n, hidden] in the place of input_ids, further
inputs where the family has some (`Decoder.picture_inputs`), and the table of embeddings in a graph of its own: input int64
[batch, n] to inputs_embeds. The graphs of its vision encoder are the family's (`program.vision.Graph`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import block
from ..program.decoder import Decoder
from ..program.encoder import Encoder, output_of
from ..program.vision import Graph
from .stream_layers import Layers
from .stream_ops import Weights


def build(decoder: Decoder, weights: Weights, *, from_embeds: bool = False) -> Any:
    """Build the stateful model around the constants that `weights` supplies.

    Args:
        decoder: its description.
        weights: supplies the constants.
        from_embeds: the input is inputs_embeds; without it, input_ids.
    """
    import openvino as ov

    layers = Layers(weights)
    if from_embeds:
        start = layers.input("inputs_embeds", [-1, -1, decoder.hidden_size], np.float32)
    else:
        start = layers.input("input_ids", [-1, -1], np.int64)
    mask = layers.input("attention_mask", [-1, -1], np.int64)
    positions = layers.input("position_ids", [*([decoder.axes] if decoder.axes else []), -1, -1], np.int64)
    beside = {one.name: layers.input(one.name, [*one.shape], one.kind) for one in decoder.picture_inputs}
    layers.beam = layers.input("beam_idx", [-1], np.int32)
    layers.batch = layers.batch_of(start)
    logits = block.decode(layers, decoder, start, mask, positions, from_embeds=from_embeds, beside=beside)
    # optimum-intel puts inputs_embeds third, input_ids first
    inputs = [mask, positions, start] if from_embeds else [start, mask, positions]
    return ov.Model([layers.output(logits, "logits")], layers.sinks, [*inputs, *beside.values(), layers.beam], "model")


def build_embeddings(decoder: Decoder, weights: Weights) -> Any:
    """Build the graph of the embeddings alone."""
    import openvino as ov

    layers = Layers(weights)
    ids = layers.input("input", [-1, -1], np.int64)
    rows = block.embed(layers, decoder, ids)
    return ov.Model([layers.output(rows, "inputs_embeds")], [ids], "model")


def build_encoder(encoder: Encoder, weights: Weights) -> Any:
    """Build an encoder, which has no state."""
    import openvino as ov

    layers = Layers(weights)
    given = {name: layers.input(name, [-1, -1], np.int64) for name in encoder.inputs}
    made = encoder.write(layers, given)
    return ov.Model([layers.output(made, output_of(encoder))], [*given.values()], "model")


def build_graph(graph: Graph, weights: Weights) -> Any:
    """Build one of the graphs of a vision encoder."""
    import openvino as ov

    layers = Layers(weights)
    given = {one.name: layers.input(one.name, [*one.shape], one.kind) for one in graph.inputs}
    made = graph.write(layers, given)
    outputs = [layers.output(node, output.name) for node, output in zip(made, graph.outputs, strict=True)]
    return ov.Model(outputs, [*given.values()], "model")

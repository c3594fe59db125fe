"""The OpenVINO graph of GLM-Edge-V's vision half: pixels to the rows that take the placeholders' places.

Input: pixel_values float32 [n, channels, S, S], normalized. Output: last_hidden_state float32 [n, image_tokens, hidden].

Source: `transformers/models/siglip/modeling_siglip.py` without the pooling head; then `families.glm_edge_v_model.modeling`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..families.glm_edge_v import ADAPTER, PROJECTION, TOWER, Vision
from .stream_ops import Node, Operations, Weights


def build(vision: Vision, weights: Weights) -> Any:
    """Build the model (`openvino.Model`) around the constants that `weights` supplies."""
    return _Builder(vision, weights).model()


class _Builder(Operations):
    def __init__(self, vision: Vision, weights: Weights) -> None:
        super().__init__(weights)
        self.v = vision

    def model(self) -> Any:
        import openvino as ov

        v = self.v
        pixels = self.input("pixel_values", [-1, v.channels, v.image_size, v.image_size], np.float32)
        hidden = self._embeddings(pixels)
        for layer in range(v.num_layers):
            hidden = self._layer(hidden, f"{TOWER}encoder.layers.{layer}.")
        hidden = self._norm(hidden, f"{TOWER}post_layernorm", v.layer_norm_eps)
        rows = self._project(self._fold(hidden))
        batch = self.batch_of(pixels)
        features = self.ops.concat([self._mark("boi", batch), rows, self._mark("eoi", batch)], 1)
        return ov.Model([self.output(features, "last_hidden_state")], [pixels], "model")

    def _embeddings(self, pixels: Node) -> Node:
        """[n, channels, S, S] -> [n, patches, width], each patch with its position's embedding."""
        patches = self._convolution(pixels, f"{TOWER}embeddings.patch_embedding", self.v.patch_size)
        states = self._flat(patches, self.v.hidden_size)
        return self.ops.add(states, self.weights(f"{TOWER}embeddings.position_embedding.weight"))

    def _layer(self, hidden: Node, prefix: str) -> Node:
        v, ops = self.v, self.ops
        normed = self._norm(hidden, prefix + "layer_norm1", v.layer_norm_eps)
        hidden = ops.add(hidden, self._attention(normed, prefix + "self_attn."), name=prefix + "residual")
        normed = self._norm(hidden, prefix + "layer_norm2", v.layer_norm_eps)
        inner = self.activate(self.linear(normed, prefix + "mlp.fc1", bias=True), v.activation)
        return ops.add(hidden, self.linear(inner, prefix + "mlp.fc2", bias=True), name=prefix + "output")

    def _attention(self, hidden: Node, prefix: str) -> Node:
        v, ops = self.v, self.ops
        query, key, value = (
            self.swap(self.heads(self.linear(hidden, f"{prefix}{part}_proj", bias=True), v.num_heads, v.head_dim))
            for part in "qkv"
        )
        context = ops.scaled_dot_product_attention(
            query, key, value, ops.constant(0.0, np.float32), ops.constant(v.head_dim**-0.5, np.float32),
            causal=False, name=prefix + "sdpa",
        )  # fmt: skip
        context = ops.reshape(self.swap(context), self.i64([0, 0, v.hidden_size]), special_zero=True)
        return self.linear(context, prefix + "out_proj", bias=True)

    def _fold(self, hidden: Node) -> Node:
        """[n, patches, width] -> [n, rows, out]: each 2 x 2 patches become one row."""
        v, ops = self.v, self.ops
        grid = ops.transpose(hidden, ops.constant([0, 2, 1], np.int32))
        grid = ops.reshape(grid, self.i64([0, v.hidden_size, v.grid, v.grid]), special_zero=True)
        return self._flat(self._convolution(grid, f"{ADAPTER}conv", 2), v.out_size)

    def _project(self, rows: Node) -> Node:
        """The adapter's gated MLP, [n, rows, out] -> the same."""
        v = self.v
        rows = self.linear(rows, f"{PROJECTION}linear_proj", False)
        rows = self.activate(self._norm(rows, f"{PROJECTION}norm1", v.adapter_norm_eps), v.adapter_activation)
        gate = self.activate(self.linear(rows, f"{PROJECTION}gate_proj", False), "silu")
        inner = self.ops.multiply(gate, self.linear(rows, f"{PROJECTION}dense_h_to_4h", False))
        return self.linear(inner, f"{PROJECTION}dense_4h_to_h", False)

    def _mark(self, name: str, batch: Node) -> Node:
        """The learned row that begins or ends each picture, [n, 1, out]."""
        shape = self.ops.concat([batch, self.i64([1]), self.i64([self.v.out_size])], 0)
        return self.ops.broadcast(self.weights(f"{ADAPTER}{name}"), shape)

    def _convolution(self, states: Node, name: str, step: int) -> Node:
        """Convolve without overlap and without padding, with a bias for each output channel."""
        ops = self.ops
        product = ops.convolution(
            states, self.weights(f"{name}.weight"), [step, step], [0, 0], [0, 0], [1, 1], name=name
        )
        bias = ops.reshape(self.weights(f"{name}.bias"), self.i64([1, -1, 1, 1]), special_zero=False)
        return ops.add(product, bias)

    def _flat(self, grid: Node, width: int) -> Node:
        """[n, width, rows, columns] -> [n, rows * columns, width]."""
        flat = self.ops.reshape(grid, self.i64([0, width, -1]), special_zero=True)
        return self.ops.transpose(flat, self.ops.constant([0, 2, 1], np.int32))

    def _norm(self, hidden: Node, name: str, eps: float) -> Node:
        """LayerNorm over the last dimension."""
        ops = self.ops
        normed = ops.mvn(hidden, self.i64([-1]), True, eps, "inside_sqrt")
        return ops.add(ops.multiply(normed, self.weights(f"{name}.weight")), self.weights(f"{name}.bias"))

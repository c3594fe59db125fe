"""The ONNX graph of GLM-Edge-V's vision half: pixels to the rows that take the placeholders' places.

Input: pixel_values float32 [n, channels, S, S], normalized. Output: image_features float32 [n, image_tokens, hidden].

Source: `transformers/models/siglip/modeling_siglip.py` without the pooling head; then `families.glm_edge_v_model.modeling`.
"""

from __future__ import annotations

from ..families.glm_edge_v import ADAPTER, PROJECTION, TOWER, Vision
from .ops import Graph, Value

PIXELS, FEATURES = "pixel_values", "image_features"


def build(graph: Graph, vision: Vision) -> None:
    """Add the tower's and the adapter's input, nodes and output to an empty graph."""
    _Builder(graph, vision).build()


class _Builder:
    def __init__(self, graph: Graph, vision: Vision) -> None:
        self.g = graph
        self.v = vision

    def build(self) -> None:
        g, v = self.g, self.v
        pixels = g.input(PIXELS, g.types.FLOAT, ["n", v.channels, v.image_size, v.image_size])
        hidden = self._embeddings(pixels)
        for layer in range(v.num_layers):
            hidden = self._layer(hidden, f"{TOWER}encoder.layers.{layer}.")
        hidden = self._norm(hidden, f"{TOWER}post_layernorm", v.layer_norm_eps)
        rows = self._project(self._fold(hidden))
        batch = g.op("Shape", pixels, start=0, end=1)
        g.op("Concat", self._mark("boi", batch), rows, self._mark("eoi", batch), axis=1, name=FEATURES)
        g.output(FEATURES, FEATURES, g.types.FLOAT, ["n", v.image_tokens, v.out_size])

    def _embeddings(self, pixels: Value) -> Value:
        """[n, channels, S, S] -> [n, patches, width], each patch with its position's embedding."""
        patches = self.g.convolution(pixels, f"{TOWER}embeddings.patch_embedding", self.v.patch_size)
        states = self._flat(patches, self.v.hidden_size)
        return self.g.op("Add", states, self.g.vector(f"{TOWER}embeddings.position_embedding.weight"))

    def _layer(self, hidden: Value, prefix: str) -> Value:
        g, v = self.g, self.v
        normed = self._norm(hidden, prefix + "layer_norm1", v.layer_norm_eps)
        hidden = g.op("Add", hidden, self._attention(normed, prefix + "self_attn."))
        normed = self._norm(hidden, prefix + "layer_norm2", v.layer_norm_eps)
        inner = g.activate(g.linear(normed, prefix + "mlp.fc1", bias=True), v.activation)
        return g.op("Add", hidden, g.linear(inner, prefix + "mlp.fc2", bias=True))

    def _attention(self, hidden: Value, prefix: str) -> Value:
        g, v = self.g, self.v
        heads = g.i64([0, 0, v.num_heads, v.head_dim])
        query, key, value = (g.op("Reshape", g.linear(hidden, f"{prefix}{x}_proj", bias=True), heads) for x in "qkv")
        query = g.op("Mul", g.op("Transpose", query, perm=[0, 2, 1, 3]), g.f32(v.head_dim**-0.5))
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 2, 3, 1]))
        value = g.op("Transpose", value, perm=[0, 2, 1, 3])
        context = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)
        context = g.op("Reshape", g.op("Transpose", context, perm=[0, 2, 1, 3]), g.i64([0, 0, v.hidden_size]))
        return g.linear(context, prefix + "out_proj", bias=True)

    def _fold(self, hidden: Value) -> Value:
        """[n, patches, width] -> [n, rows, out]: each 2 x 2 patches become one row."""
        g, v = self.g, self.v
        grid = g.op("Transpose", hidden, perm=[0, 2, 1])
        grid = g.op("Reshape", grid, g.i64([0, v.hidden_size, v.grid, v.grid]))
        return self._flat(g.convolution(grid, f"{ADAPTER}conv", 2), v.out_size)

    def _project(self, rows: Value) -> Value:
        """The adapter's gated MLP, [n, rows, out] -> the same."""
        g, v = self.g, self.v
        rows = g.linear(rows, f"{PROJECTION}linear_proj", bias=False)
        rows = g.activate(self._norm(rows, f"{PROJECTION}norm1", v.adapter_norm_eps), v.adapter_activation)
        gate = g.activate(g.linear(rows, f"{PROJECTION}gate_proj", bias=False), "silu")
        inner = g.op("Mul", gate, g.linear(rows, f"{PROJECTION}dense_h_to_4h", bias=False))
        return g.linear(inner, f"{PROJECTION}dense_4h_to_h", bias=False)

    def _mark(self, name: str, batch: Value) -> Value:
        """The learned row that begins or ends each picture, [n, 1, out]."""
        shape = self.g.op("Concat", batch, self.g.i64([1, self.v.out_size]), axis=0)
        return self.g.op("Expand", self.g.vector(f"{ADAPTER}{name}"), shape)

    def _flat(self, grid: Value, width: int) -> Value:
        """[n, width, rows, columns] -> [n, rows * columns, width]."""
        return self.g.op("Transpose", self.g.op("Reshape", grid, self.g.i64([0, width, -1])), perm=[0, 2, 1])

    def _norm(self, hidden: Value, name: str, eps: float) -> Value:
        """LayerNorm over the last dimension."""
        scale, bias = (self.g.vector(f"{name}.{part}") for part in ("weight", "bias"))
        return self.g.op("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=eps)

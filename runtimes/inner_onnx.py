"""What an ONNX model computes inside: its residual sums are made outputs of the graph, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..convert.onnx.names import EMBEDS, IDS, LOGITS
from ..core.errors import ArtifactError
from . import onnx_models
from .inner import Inner, Kind, Node, find
from .onnx_decoder import OnnxDecoder
from .onnx_session import NAME

_KINDS: dict[str, Kind] = {
    "Add": "sum",
    "MatMul": "product",
    "MatMulNBits": "product",
    "Gemm": "product",
    "Shape": "shape",
}


class InnerOnnx:
    """Implements `inner.InnerRuntime`."""

    name = f"{NAME} CPU, reference precision"

    def __init__(self, folder: Path, layers: int) -> None:
        """Load reference precision. Raises ArtifactError if the residual sums of so many layers are not found."""
        self._layers = layers
        self._names: list[str] = []
        path = folder / onnx_models.names(folder)[0]
        self._decoder = OnnxDecoder(path, accurate=True, change=self._show)

    def layer_outputs(self, ids: Sequence[int]) -> Inner:
        """Run one text."""
        tokens = np.array([list(ids)], np.int64)
        first, *others = self._names
        given = self._decoder.embed(tokens)
        asked = [*others, LOGITS] if first == EMBEDS else [*self._names, LOGITS]
        made = self._decoder.values(asked, given)
        if first == EMBEDS:
            made.insert(0, given)
        embeddings, *sums, normed, logits = (one.astype(np.float32, copy=False).reshape(len(ids), -1) for one in made)
        return Inner(embeddings, tuple(sums), normed, logits, all(one.dtype == np.float32 for one in made))

    def close(self) -> None:
        """Drop the sessions."""
        self._decoder.close()

    def _show(self, model: Any) -> None:
        """Make outputs of what is to be seen; of its type onnxruntime makes sure itself."""
        import onnx

        self._names = shown(model.graph, self._layers)
        known = {value.name for value in model.graph.output} | {value.name for value in model.graph.input}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._names if name not in known)


def shown(graph: Any, layers: int) -> list[str]:
    """Return the names of embeddings, each sum, and what the head takes.

    Args:
        graph: `onnx.GraphProto`, its nodes in an order in which they can run.
        layers: how many it has.

    Raises:
        ArtifactError: they are not found.
    """
    start = next((value.name for value in graph.input if value.name in (IDS, EMBEDS)), None)
    makers = {name: number for number, node in enumerate(graph.node, 1) for name in node.output}
    if start is None or LOGITS not in makers:
        raise ArtifactError(f"The graph makes no {LOGITS} of {IDS} or {EMBEDS}.", "Give a whole language model.")
    makers[start] = 0
    nodes = [Node("other", ())]
    for node in graph.node:
        read = tuple(makers[name] for name in node.input if name in makers)
        nodes.append(Node(_KINDS.get(node.op_type, "other"), read))
    places = find(nodes, 0, makers[LOGITS], layers)
    return [
        graph.node[number - 1].output[0] if number else start
        for number in (places.embeddings, *places.sums, places.normed)
    ]

"""The weights of an ONNX model, edgeconv's own or another tool's, in the checkpoint's names, shapes and row order."""

from __future__ import annotations

from pathlib import Path

from ...convert.checkpoint import Checkpoint
from ...runtimes import onnx_models
from ...runtimes.onnx_graph import OnnxGraph, open_graph
from .onnx_find import find
from .openvino_ir import WeightsByName


class OnnxWeights(WeightsByName):
    """The weights of an artifact's models; attributes as in `WeightsByName`, and `graph`, the one that generates."""

    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        """Open the models.

        Raises:
            ArtifactError: one cannot be read, or its weights are missing or too short.
        """
        graphs = [open_graph(folder / name) for name in onnx_models.names(folder)]
        self.graph: OnnxGraph = graphs[0]
        super().__init__(folder, checkpoint, [stored for graph in graphs for stored in find(graph)], {})

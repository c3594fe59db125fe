"""The weights of an ONNX model, edgeconv's own or another tool's, in the checkpoint's names, shapes and row order."""

from __future__ import annotations

from pathlib import Path

from ...convert.checkpoint import Checkpoint
from ...convert.onnx.names import MODEL
from .onnx_graph import OnnxGraph, find, open_graph
from .openvino_ir import WeightsByName


class OnnxWeights(WeightsByName):
    """The weights of an artefact's models; attributes as in `WeightsByName`, and `graph`, the one that generates."""

    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        """Open the model.

        Raises:
            ArtefactError: it cannot be read, or its weights are missing or too short.
        """
        self.graph: OnnxGraph = open_graph(folder / MODEL)
        super().__init__(folder, checkpoint, find(self.graph), {})

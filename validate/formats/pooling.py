"""From the states of a text's tokens to its vector, as sentence-transformers does: pooling, layers, length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.program.task import Dense, Task
from ...convert.safetensors_file import SafetensorsFile
from ...core.errors import ArtifactError
from ...quantize.integer import to_float32

Array = npt.NDArray[Any]


class Pooler:
    """Makes vectors by a task, with the weights that lie in a folder."""

    def __init__(self, task: Task, folder: Path) -> None:
        """Read the weights of the layers behind the pooling. Raises ArtifactError if they are not there, or of another shape."""
        self.task = task
        self._layers = [_layer(folder, one) for one in task.dense]

    def __call__(self, states: Sequence[Array]) -> Array:
        """Make a vector of each text's states float32 [n, width]: float32 [texts, width]."""
        vectors = np.stack([self._pooled(one) for one in states])
        vectors = self.behind(vectors)
        if self.task.normalize:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def behind(self, vectors: Array) -> Array:
        """Apply the layers behind the pooling to vectors float32 [n, width]: float32 [n, out]."""
        for weight, bias in self._layers:
            vectors = vectors @ weight.T + bias
        return vectors

    def _pooled(self, states: Array) -> Array:
        if self.task.pooling in ("cls", "last"):
            return np.asarray(states[0 if self.task.pooling == "cls" else -1])
        return np.asarray(states.mean(0, dtype=np.float64), np.float32)


def _layer(folder: Path, layer: Dense) -> tuple[Array, Array]:
    path = folder / layer.folder / "model.safetensors"
    if not path.is_file():
        raise ArtifactError(f"{path} is missing.", "modules.json names its folder; convert the checkpoint again.")
    file = SafetensorsFile(path)
    shapes = {"linear.weight": (layer.out, layer.width)} | ({"linear.bias": (layer.out,)} if layer.bias else {})
    for name, shape in shapes.items():
        if name not in file.tensors or file.tensors[name].shape != shape:
            raise ArtifactError(f"{path} has no {name} of the shape {list(shape)}.", "Convert the checkpoint again.")
    weight = to_float32(np.array(file.view(file.tensors["linear.weight"])))
    bias = (
        to_float32(np.array(file.view(file.tensors["linear.bias"]))) if layer.bias else np.zeros(layer.out, np.float32)
    )
    return weight, bias

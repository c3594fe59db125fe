"""The layers behind an encoder's pooling, as tensors of the file: llama.cpp's gemma-embedding has two of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError
from ...quantize.integer import to_float32
from ..checkpoint import Checkpoint
from ..program.task import Dense
from ..safetensors_file import SafetensorsFile
from .model import Model, Tensor

NAMES = ("dense_2.weight", "dense_3.weight")
_WEIGHTS = "model.safetensors"


def added(model: Model, checkpoint: Checkpoint) -> Model:
    """Return a description with the layers that its keys promise, which lie in folders of their own.

    Raises:
        CheckpointError: the weights of one are missing, or have another shape.
    """
    if f"{model.arch}.dense_2_feat_in" not in model.keys or checkpoint.sentence is None:
        return model
    layers = zip(NAMES, checkpoint.sentence.dense, strict=True)
    more = [Tensor(name, (one.out, one.width), None, values=_values(checkpoint, one)) for name, one in layers]
    return replace(model, tensors=(*model.tensors, *more))


def _values(checkpoint: Checkpoint, layer: Dense) -> npt.NDArray[Any]:
    path = checkpoint.origin / layer.folder / _WEIGHTS
    if not path.is_file():
        if not checkpoint.has_weights:  # a plan knows only headers
            return np.broadcast_to(np.float32(0), (layer.out, layer.width))
        raise CheckpointError(
            f"{layer.folder}/{_WEIGHTS} is missing.", "modules.json names its folder; download it again."
        )
    file = SafetensorsFile(path)
    info = file.tensors.get("linear.weight")
    if info is None or info.shape != (layer.out, layer.width):
        raise CheckpointError(
            f"{layer.folder}/{_WEIGHTS} has no linear.weight of the shape {[layer.out, layer.width]}.",
            "Download it again.",
        )
    return to_float32(np.array(file.view(info)))

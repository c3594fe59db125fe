"""An encoder's ONNX model in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from . import onnx_models
from .encoder import GraphEncoder
from .onnx_session import NAME, open_session, run

Array = npt.NDArray[Any]


class OnnxEncoder(GraphEncoder):
    """Implements `encoder.EncoderRuntime`."""

    def __init__(self, folder: Path, *, accurate: bool = True) -> None:
        """Load. Raises ArtifactError if onnxruntime refuses it."""
        session: Any = open_session(folder / onnx_models.names(folder)[0], accurate=accurate)

        def infer(feed: dict[str, Array]) -> Array:
            return run(session, feed, "in the encoder")[0]

        name = f"{NAME} CPU" + (", reference precision" if accurate else ", defaults")
        super().__init__(name, [one.name for one in session.get_inputs()], session.get_outputs()[0].name, infer)

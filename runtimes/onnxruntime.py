"""onnxruntime itself, without a pipeline around it: the decoder of an artifact, and its vision part."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import numpy.typing as npt

from ..convert.onnx.names import FEATURES, PIXELS, VISION_EMBEDDINGS
from ..core.errors import ArtifactError
from . import onnx_models
from .decoder import DecoderRuntime
from .onnx_decoder import OnnxDecoder
from .onnx_session import NAME, open_session, require, run

__all__ = ["NAME", "OnnxRuntime", "OnnxTower", "require"]

Array = npt.NDArray[Any]


class OnnxRuntime(DecoderRuntime):
    """An artifact of ONNX models, for the validator."""

    def __init__(self, folder: Path, *, accurate: bool = True) -> None:
        """Load.

        Args:
            folder: the artifact.
            accurate: reference precision.

        Raises:
            ArtifactError: onnxruntime refuses it, or it is not a decoder of optimum's form.
        """
        name = f"{NAME} CPU" + (", reference precision" if accurate else ", defaults")
        super().__init__(OnnxDecoder(folder / onnx_models.names(folder)[0], accurate=accurate), name)


class OnnxTower:
    """The vision part of an artifact: pixels to the rows that take the placeholders' places."""

    def __init__(self, folder: Path, *, accurate: bool = True, threads: int | None = None) -> None:
        """Load. Raises ArtifactError if onnxruntime refuses it, or it is not of the form that `edgeconv onnx` writes."""
        path = folder / f"{VISION_EMBEDDINGS}.onnx"
        self._session: Any = open_session(path, accurate=accurate, threads=threads)
        names = [[v.name for v in side] for side in (self._session.get_inputs(), self._session.get_outputs())]
        if names != [[PIXELS], [FEATURES]]:
            raise ArtifactError(f"{path} makes {names[1]} of {names[0]}; {FEATURES} of {PIXELS} is known.")

    def __call__(self, pixels: Array, stop: Event | None = None) -> Array:
        """Map float32 [3, S, S] to float32 [rows, hidden]. Raises StoppedError if `stop` was set."""
        rows: Array = run(self._session, {PIXELS: pixels[None]}, "on a picture", stop)[0][0]
        return rows

    def close(self) -> None:
        """Drop the session."""
        self._session = None

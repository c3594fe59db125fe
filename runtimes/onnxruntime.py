"""onnxruntime itself, without a pipeline around it: the decoder of an artifact, and its vision part."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import numpy.typing as npt

from ..convert.multimodal import described
from ..convert.onnx.names import VISION_EMBEDDINGS
from ..convert.program.vision import Arrays, Rows, Vision
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
    """The vision part of an artifact, which is one graph (`Vision.whole`)."""

    def __init__(
        self, folder: Path, *, accurate: bool = True, threads: int | None = None, vision: Vision | None = None
    ) -> None:
        """Load.

        Args:
            folder: of the artifact.
            accurate: reference precision.
            threads: of the computation; None: one per core.
            vision: the description; None: it is read from the folder.

        Raises:
            ArtifactError: onnxruntime refuses it, or it takes and gives something else than the family's; or the family is not
                known.
        """
        path = folder / f"{VISION_EMBEDDINGS}.onnx"
        self._vision = vision or described(folder)[1]
        self._graph = self._vision.whole()
        self._session: Any = open_session(path, accurate=accurate, threads=threads)
        taken, given = ([v.name for v in side] for side in (self._session.get_inputs(), self._session.get_outputs()))
        if set(taken) != {one.name for one in self._graph.inputs} or len(given) != len(self._graph.outputs):
            wanted = ", ".join(one.name for one in self._graph.inputs)
            raise ArtifactError(f"{path} makes {', '.join(given)} of {', '.join(taken)}; it is known to take {wanted}.")

    def __call__(self, made: Arrays, stop: Event | None = None) -> Rows:
        """Map what the processor made of a picture to its rows. Raises StoppedError if `stop` was set."""
        found = run(self._session, self._graph.fed(made, {}), "on a picture", stop)
        return self._vision.rows(found, made)

    def close(self) -> None:
        """Drop the session."""
        self._session = None

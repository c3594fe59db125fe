"""onnxruntime itself, without a pipeline around it: logits of every position, prefilled or cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from ..convert.onnx.names import FEATURES, PIXELS, VISION_EMBEDDINGS
from ..core.errors import ArtifactError
from . import onnx_models
from .base import Batch, Chunk, Padding, Step, greedy, steps
from .onnx_session import NAME, Array, Cache, Decoder, open_session, require, run
from .padding import run_batch

__all__ = ["NAME", "OnnxRuntime", "OnnxTower", "require"]


class OnnxRuntime:
    """Implements `base.SeeingRuntime`, and `base.Runtime`."""

    beams = False
    """The cache is its caller's."""

    def __init__(self, folder: Path, *, accurate: bool = True) -> None:
        """Load.

        Args:
            folder: the artifact.
            accurate: reference precision.

        Raises:
            ArtifactError: onnxruntime refuses it, or it is not a decoder of optimum's form.
        """
        self.name = f"{NAME} CPU" + (", reference precision" if accurate else ", defaults")
        self._decoder = Decoder(folder / onnx_models.names(folder)[0], accurate=accurate)
        self._cache: Cache = {}

    @property
    def paddings(self) -> tuple[Padding, ...]:
        """Both sides, for a graph that takes a mask."""
        return ("left", "right") if self._decoder.masks else ()

    def logits(
        self, ids: Sequence[int], chunk: Chunk = None, first: int = 0, embeddings: Array | None = None
    ) -> Iterator[Array]:
        """Give the logits from an empty cache.

        Args:
            ids: the tokens.
            chunk: positions of its steps.
            first: position of the first token.
            embeddings: float32 [n, hidden] to take instead of the tokens' own, of a vision-language model.
        """
        self._cache = self._decoder.empty()
        for start, stop in steps(len(ids), chunk):
            part = slice(start, stop)
            yield self._infer(ids[part], start, None if embeddings is None else embeddings[part], first)

    def batch(self, rows: Sequence[Sequence[int]], padding: Padding, then: Sequence[Step] = ()) -> Batch:
        """Run several rows at once; `beams` of a step are left to who keeps the cache."""
        self._cache = self._decoder.empty(len(rows))
        return run_batch(self._forward, rows, padding, then)

    def decode(self, ids: Sequence[int]) -> Iterator[Array]:
        """Give the logits one token at a time."""
        return self.logits(ids, 1)

    def generate(
        self, ids: Sequence[int], count: int, stop: Sequence[int], embeddings: Array | None = None
    ) -> list[int]:
        """Continue greedily; `embeddings` as in `logits`."""
        self._cache = self._decoder.empty()
        return greedy(self._infer, ids, count, stop, embeddings)

    def embed(self, ids: Sequence[int]) -> Array:
        """Look tokens up in the table of a vision-language model: float32 [n, hidden]."""
        rows: Array = self._decoder.embed(np.array(list(ids), np.int64))[0]
        return rows

    def close(self) -> None:
        """Drop the sessions."""
        self._decoder.close()
        self._cache = {}

    def _infer(self, ids: Sequence[int], past: int, embeddings: Array | None = None, first: int = 0) -> Array:
        given = self._decoder.embed(np.array(list(ids), np.int64)) if embeddings is None else embeddings[None]
        logits, self._cache = self._decoder.read(given, past, self._cache, first=first)
        return logits

    def _forward(self, ids: Array, mask: Array, positions: Array, beams: Array) -> Array:
        given = self._decoder.embed_batch(ids)
        logits, self._cache = self._decoder.forward(given, mask, positions, self._cache)
        return logits


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

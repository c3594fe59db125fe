"""The vision part of a GGUF, in the process of a chat: llama.cpp's multimodal library.

A failed assertion would end this process, so another one sees the first picture before (`llama_cpp_vision`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ArtifactError
from ..core.progress import Silent
from .llama_cpp import BATCH
from .llama_cpp_binding import binding, threads
from .llama_cpp_vision import View, VisionRuntime, marker
from .llama_cpp_vision_process import chunk_list

Array = npt.NDArray[Any]

_CONVERT = "Convert the checkpoint again."


class Tower:
    """A mmproj beside a model that is loaded, and the pictures that it was given."""

    def __init__(self, path: Path, projector: Path, model: Any) -> None:
        """Remember the files; they are loaded with the first picture.

        Args:
            path: the language model; of a split one the first part.
            projector: mmproj-*.gguf.
            model: cyllama's, of the language model.
        """
        self._path, self._projector, self._model = path, projector, model
        self._context: Any = None
        self._pictures: dict[int, tuple[Any, Any]] = {}
        self._count = 0

    def take(self, pixels: Array) -> tuple[int, int]:
        """Take a picture, uint8 [height, width, 3]: its number, which is negative, and the tokens that it will fill.

        These are the rows of all its tiles, and what stands around them.

        Raises:
            ArtifactError: llama.cpp does not load the mmproj, or does not see with it.
        """
        if self._context is None:
            self._context = self._open(pixels)
        height, width = pixels.shape[:2]
        with _muted():
            bitmap = binding().MtmdBitmap.create_image(width, height, np.ascontiguousarray(pixels).tobytes())
            chunks = self._context.tokenize(marker(), [bitmap], False, True)
        if not any("tokens" in part for part in chunk_list(chunks)):
            raise ArtifactError(f"llama.cpp makes nothing of a picture by {self._projector.name}.", _CONVERT)
        self._count -= 1
        self._pictures[self._count] = bitmap, chunks
        return self._count, int(chunks.total_tokens)

    def tokens(self, number: int) -> int:
        """Return the tokens that a picture fills."""
        return int(self._pictures[number][1].total_tokens)

    def positions(self, number: int) -> int:
        """Return by how many positions the text behind a picture moves on (M-RoPE: fewer than its tokens)."""
        return int(self._pictures[number][1].total_positions)

    def read(self, context: Any, number: int, past: int) -> None:
        """Let a language model read a picture behind `past` positions. Raises ArtifactError."""
        _, chunks = self._pictures[number]
        try:
            with _muted():
                self._context.eval_chunks(context, chunks, past, 0, BATCH, True)
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp fails on a picture: {error}.") from error

    def forget(self) -> None:
        """Drop the pictures."""
        self._pictures.clear()

    def close(self) -> None:
        """Give the memory back."""
        self.forget()
        if self._context is not None:
            self._context.close()
        self._context = None

    def _open(self, pixels: Array) -> Any:
        eyes = VisionRuntime(self._path, self._projector, int(self._model.n_embd), False, self._projector.name)
        eyes.look([View(pixels)], Silent(), "")
        parameters = binding().MtmdContextParams(use_gpu=False, n_threads=threads())
        try:
            with _muted():
                return binding().MtmdContext(str(self._projector), self._model, parameters)
        except (OSError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp does not load {self._projector}: {error}.") from error


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Keep the library's lines off stderr: dozens, and cyllama has no callback for them."""
    with contextlib.ExitStack() as stack:
        saved = os.dup(2)
        stack.callback(os.close, saved)
        nothing = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nothing)
        os.dup2(nothing, 2)
        stack.callback(os.dup2, saved, 2)
        yield

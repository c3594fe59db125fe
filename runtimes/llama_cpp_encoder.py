"""An encoder's GGUF in llama.cpp: the states of all tokens of a text, before anything is pooled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.gguf import encoders
from ..convert.gguf.read import open_gguf
from ..core.errors import ArtifactError
from .encoder import Text
from .llama_cpp_binding import NAME, binding, load, reason, threads

Array = npt.NDArray[Any]
_F32 = 0
"""`enum ggml_type`."""
_NO_POOLING = 0
"""`enum llama_pooling_type`."""


def is_encoder(path: Path) -> bool:
    """True for a file that makes states alone, by its architecture. Raises ArtifactError for one that cannot be opened."""
    return open_gguf(path).arch in encoders.architectures()


def require_states(path: Path) -> None:
    """Let llama.cpp make the states of a few tokens, as the file is and in a batch. Raises ArtifactError if it does not."""
    for accurate in (False, True):
        runtime = LlamaCppEncoder(path, accurate=accurate)
        runtime.run([Text([0, 0]), Text([0])])
        runtime.close()


class LlamaCppEncoder:
    """Implements `encoder.EncoderRuntime`; texts of a batch are sequences of one context, and nothing is filled up."""

    def __init__(self, path: Path, *, accurate: bool = True) -> None:
        """Load; `accurate` as of `llama_cpp.LlamaCppRuntime`. Raises ArtifactError if llama.cpp does not load it."""
        self.name = f"{NAME} CPU" + (", reference precision" if accurate else ", defaults")
        self._accurate = accurate
        self._model: Any = load(path)
        self._context: Any = None

    def run(self, texts: Sequence[Text]) -> list[Array]:
        """As `EncoderRuntime` says."""
        count = sum(len(text.ids) for text in texts)
        self._start(len(texts), max(len(text.ids) for text in texts), count)
        batch = binding().LlamaBatch(n_tokens=count, embd=0, n_seq_max=len(texts))
        try:
            for number, text in enumerate(texts):
                for position, token in enumerate(text.ids):
                    batch.add(token, position, [number], True)
            self._context.decode(batch)
            made = np.array([self._context.get_embeddings_ith(i) for i in range(count)], np.float32)
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp fails at a text of {count} tokens: {reason() or error}.") from error
        finally:
            batch.close()
        return np.split(made, np.cumsum([len(text.ids) for text in texts])[:-1])

    def close(self) -> None:
        """Give the memory back; the context first, which points into the model."""
        for part in (self._context, self._model):
            if part is not None:
                part.close()
        self._context = self._model = None

    def _start(self, rows: int, longest: int, count: int) -> None:
        if self._context is not None:
            self._context.close()
        parameters = binding().LlamaContextParams()
        parameters.n_seq_max = rows
        parameters.n_ctx = rows * max(256, -(-longest // 256) * 256)
        parameters.n_batch = parameters.n_ubatch = max(count, 32)
        parameters.n_threads = parameters.n_threads_batch = threads()
        parameters.embeddings = True
        parameters.pooling_type = _NO_POOLING
        if self._accurate:
            parameters.type_k = parameters.type_v = _F32
            parameters.flash_attn_type = 0
        try:
            self._context = binding().LlamaContext(self._model, parameters, verbose=False)
        except (MemoryError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp does not run the model: {reason() or error}.") from error

"""A GGUF in llama.cpp, with its defaults: a float16 cache, flash attention."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import ArtifactError, UsageError
from ...runtimes import llama_cpp_binding
from ...runtimes.llama_cpp import BATCH
from .model import Timing
from .runner import Load, greedy, timed


class LlamaCppRunner:
    """Implements `runner.Runner`."""

    def __init__(self, load: Load) -> None:
        """Map the file; a context is made for each length of prompt."""
        self.framework = f"llama.cpp (cyllama {importlib.metadata.version(llama_cpp_binding.PACKAGE)})"
        self._model: Any = llama_cpp_binding.load(load.path)
        self._threads = load.threads or llama_cpp_binding.threads()
        self.vocabulary = int(self._model.n_vocab)
        cyllama = llama_cpp_binding.binding()
        self._sampler = cyllama.LlamaSampler(cyllama.LlamaSamplerChainParams())
        self._sampler.add_greedy()

    def run(self, ids: Sequence[int], count: int) -> Timing:
        """Time decoding and llama.cpp's own greedy sampler."""
        context = self._context(len(ids) + count)
        past = len(ids)

        def read() -> int:
            for at in range(0, len(ids), BATCH):
                self._decode(context, ids[at : at + BATCH], at)
            return int(self._sampler.sample(context, -1))

        def step(token: int) -> int:
            nonlocal past
            self._decode(context, [token], past)
            past += 1
            return int(self._sampler.sample(context, -1))

        try:
            return timed(time.perf_counter(), None, greedy(read, step), count, len(ids))
        finally:
            context.close()

    def see(self, picture: Path, question: str, count: int) -> Timing:
        """Refuse: only text is timed in llama.cpp."""
        raise UsageError(f"Only text is timed in llama.cpp, so {picture.name} is of no use here.", "Leave out --image.")

    def _context(self, room: int) -> Any:
        parameters = llama_cpp_binding.binding().LlamaContextParams()
        parameters.n_ctx = -(-room // 256) * 256
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = self._threads
        try:
            return llama_cpp_binding.binding().LlamaContext(self._model, parameters, verbose=False)
        except (MemoryError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp does not run the model: {error}.") from error

    @staticmethod
    def _decode(context: Any, ids: Sequence[int], past: int) -> None:
        batch = llama_cpp_binding.binding().LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
        batch.set_batch(list(ids), past, False)
        try:
            context.decode(batch)
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp fails at position {past}: {error}.") from error
        finally:
            batch.close()

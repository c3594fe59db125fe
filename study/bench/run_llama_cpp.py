"""A GGUF in llama.cpp, with its defaults: a float16 cache, flash attention."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from ...runtimes import llama_cpp_binding
from ...runtimes.llama_cpp import BATCH, LlamaCppRuntime
from .model import Timing
from .runner import Load, greedy, timed


class LlamaCppRunner(LlamaCppRuntime):
    """Implements `runner.Runner`: llama.cpp's own greedy sampler chooses, for the binding hands logits out as Python lists."""

    def __init__(self, load: Load) -> None:
        """Map the file; a context is made for each length of prompt."""
        super().__init__(load.path, accurate=False, threads=load.threads)
        self.framework = f"llama.cpp (cyllama {importlib.metadata.version(llama_cpp_binding.PACKAGE)})"
        cyllama = llama_cpp_binding.binding()
        self._sampler: Any = cyllama.LlamaSampler(cyllama.LlamaSamplerChainParams())
        self._sampler.add_greedy()

    def run(self, ids: Sequence[int], count: int) -> Timing:
        """Time decoding and sampling."""
        self._start(len(ids) + count)
        past = len(ids)

        def read() -> int:
            for at in range(0, len(ids), BATCH):
                self._decode(ids[at : at + BATCH], at, every=False)
            return int(self._sampler.sample(self._context, -1))

        def step(token: int) -> int:
            nonlocal past
            self._decode([token], past, every=False)
            past += 1
            return int(self._sampler.sample(self._context, -1))

        return timed(time.perf_counter(), None, greedy(read, step), count, len(ids))

    def see(self, picture: Path, question: str, count: int) -> Timing:
        """Refuse: only text is timed in llama.cpp."""
        raise UsageError(f"Only text is timed in llama.cpp, so {picture.name} is of no use here.", "Leave out --image.")

"""llama.cpp, from the package cyllama: logits of every position, prefilled or cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ArtifactError
from .base import Batch, Chunk, Padding, Step, steps
from .llama_cpp_binding import NAME, binding, load, reason
from .llama_cpp_binding import threads as one_per_core

Array = npt.NDArray[Any]
BATCH = 512
"""Tokens of one step; llama.cpp holds the logits of all of them."""
_F32 = 0
"""`enum ggml_type`."""


class LlamaCppRuntime:
    """Implements `base.Runtime`."""

    beams = False
    paddings: tuple[Padding, ...] = ("none",)

    def __init__(self, path: Path, *, accurate: bool = True, threads: int | None = None) -> None:
        """Load.

        Args:
            path: the file; of a split one the first part.
            accurate: a cache in float32 and plain attention; else llama.cpp's defaults, a float16 cache and flash attention.
            threads: of the computation; None: one per core.

        Raises:
            ArtifactError: llama.cpp does not load it.
        """
        self.name = f"{NAME} CPU" + (", reference precision" if accurate else ", defaults")
        self.accurate = accurate
        self._model: Any = load(path)
        self.vocabulary = int(self._model.n_vocab)
        self._threads = threads or one_per_core()
        self._context: Any = None
        self._room, self._rows = 0, 1
        self._switch = _switch(self._model)
        self._read: list[int] = []
        """What the cache holds since the last `generate`."""

    def logits(self, ids: Sequence[int], chunk: Chunk = None, first: int = 0) -> Iterator[Array]:
        """Give the logits from an empty cache; `first`: position of the first token."""
        self._start(len(ids), end=first + len(ids))
        for start, stop in steps(len(ids), chunk):
            part = ids[start:stop]
            made = np.empty((len(part), self.vocabulary), np.float32)
            for offset in range(0, len(part), BATCH):
                some = part[offset : offset + BATCH]
                self._decode(some, first + start + offset, every=True)
                for row in range(len(some)):
                    made[offset + row] = self._context.get_logits_ith(row)
            yield made

    def batch(self, rows: Sequence[Sequence[int]], padding: Padding, then: Sequence[Step] = ()) -> Batch:
        """Run several sequences in one context, in one batch of at most BATCH tokens; they go on in their own places."""
        self._start(max(map(len, rows)) + len(then), rows=len(rows))
        flat = self._together(rows, [0] * len(rows))
        ends = np.cumsum([len(row) for row in rows])[:-1]
        made = [self._together([[t] for t in s.tokens], [len(row) + n for row in rows]) for n, s in enumerate(then)]
        return Batch(np.split(flat, ends), made)

    def decode(self, ids: Sequence[int]) -> Iterator[Array]:
        """Give the logits one token at a time."""
        return self.logits(ids, 1)

    def generate(
        self, ids: Sequence[int], count: int, stop: Sequence[int], *, keep: bool = False, room: int = 0
    ) -> list[int]:
        """Continue greedily.

        Args:
            ids: the whole prompt.
            count: tokens at most.
            stop: tokens that end the answer.
            keep: read on from the cache of the last `generate`, as far as the prompt begins with what it has read.
            room: positions that a later one, which reads on, will need.
        """
        known = self._known(ids, count) if keep else 0
        if not known:
            self._start(max(room, len(ids) + count))
        for offset in range(known, len(ids), BATCH):
            self._decode(ids[offset : offset + BATCH], offset, every=False)
        made: list[int] = []
        self._read = list(ids)
        while len(made) < count:
            made.append(self._choose(np.array(self._context.get_logits_ith(-1), np.float32), [*ids, *made]))
            if made[-1] in stop:
                break
            self._decode(made[-1:], len(ids) + len(made) - 1, every=False)
            self._read.append(made[-1])
        return made

    def _choose(self, logits: Array, read: Sequence[int]) -> int:
        """Return the token of the best logit; `read` is what stands before it."""
        return int(logits.argmax())

    def _known(self, ids: Sequence[int], count: int) -> int:
        """Shorten the cache to what a prompt begins with; 0, if it cannot be, or has no room for more."""
        same = next((i for i, (a, b) in enumerate(zip(self._read, ids, strict=False)) if a != b), len(self._read))
        known = min(same, len(ids) - 1)
        fits = self._context is not None and known > 0 and len(ids) + count <= self._room
        return known if fits and self._context.memory_seq_rm(0, known, -1) else 0

    def close(self) -> None:
        """Give the memory back; the context first, which points into the model."""
        for part in (self._context, self._model):
            if part is not None:
                part.close()
        self._context = self._model = None

    def _start(self, room: int, rows: int = 1, end: int = 0) -> None:
        """Empty the cache, of at least `room` positions for each of so many sequences.

        llama.cpp chooses between the two tables of a long rope by the size of the context, the model by the length of the text
        (`end`: its last position, if it does not begin at 0): a context is as large as the text needs, not larger.
        """
        self._read = []
        size = max(BATCH, -(-room // 256) * 256)
        if self._switch:
            long = max(room, end) > self._switch
            size = max(size, -(-(self._switch + 1) // 256) * 256) if long else min(size, self._switch)
        kept = self._context is not None and rows == self._rows
        if kept and (size == self._room if self._switch else size <= self._room):
            self._context.kv_cache_clear()
            return
        if self._context is not None:
            self._context.close()
        parameters = binding().LlamaContextParams()
        self._rows = parameters.n_seq_max = rows
        self._room = size
        parameters.n_ctx = rows * self._room
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = self._threads
        if self.accurate:
            parameters.type_k = parameters.type_v = _F32
            parameters.flash_attn_type = 0
        self._prepare(parameters)
        try:
            self._context = binding().LlamaContext(self._model, parameters, verbose=False)
        except (MemoryError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp does not run the model: {reason() or error}.") from error

    def _prepare(self, parameters: Any) -> None:
        """Change what a context is made with (`LlamaContextParams`)."""

    def _decode(self, ids: Sequence[int], past: int, *, every: bool) -> None:
        batch = binding().LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
        batch.set_batch(list(ids), past, every)
        self._run(batch, past)

    def _together(self, rows: Sequence[Sequence[int]], past: Sequence[int]) -> Array:
        """Read on in several sequences: the logits of all their tokens, one sequence after the other, float32 [n, vocab]."""
        count = sum(map(len, rows))
        batch = binding().LlamaBatch(n_tokens=count, embd=0, n_seq_max=len(rows))
        for number, (row, start) in enumerate(zip(rows, past, strict=True)):
            for offset, token in enumerate(row):
                batch.add(token, start + offset, [number], True)
        self._run(batch, max(past))
        return np.array([self._context.get_logits_ith(i) for i in range(count)], np.float32)

    def _run(self, batch: Any, past: int) -> None:
        try:
            self._context.decode(batch)
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp fails at position {past}: {reason() or error}.") from error
        finally:
            batch.close()


def _switch(model: Any) -> int | None:
    """Return the positions beyond which a model with a long rope has other frequencies; None: it has one table, or none."""
    facts: dict[str, str] = model.metadata()
    scaling = f"{facts.get('general.architecture')}.rope.scaling"
    original = facts.get(f"{scaling}.original_context_length", "")
    return int(original) if original.isdecimal() and facts.get(f"{scaling}.type") != "yarn" else None

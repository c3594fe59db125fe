"""A model whose cache we keep ourselves (`runtimes.cached`), timed token by token."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from ...core.errors import UsageError
from ...runtimes.cached import Cached
from ...runtimes.sampled_chat import SampledChat
from .model import Timing
from .runner import greedy, timed


class CachedRunner:
    """Implements `runner.Runner`; a subclass loads the model."""

    def __init__(self, framework: str, vocabulary: int, model: Cached, chat: SampledChat | None) -> None:
        """Take a loaded model; `chat`: the conversation around it, of a vision-language model."""
        self.framework, self.vocabulary = framework, vocabulary
        self._model, self._chat = model, chat

    def run(self, ids: Sequence[int], count: int) -> Timing:
        """Time the language model."""
        model = self._model
        model.clear()
        started = time.perf_counter()
        tokens = greedy(
            lambda: int(model.prefill(ids, [], Event()).argmax()), lambda token: int(model.step(token).argmax())
        )
        return timed(started, None, tokens, count, len(ids))

    def see(self, picture: Path, question: str, count: int) -> Timing:
        """Time the tower, and what follows it."""
        model, chat = self._model, self._chat
        if chat is None:
            raise UsageError(f"This model takes no pictures, so {picture.name} cannot be shown to it.")
        model.clear()
        started = time.perf_counter()
        _, ids, pictures = chat.prompt(question, [picture])
        model.see(pictures[0], Event())
        seen = time.perf_counter()
        tokens = greedy(
            lambda: int(model.prefill(ids, pictures, Event()).argmax()), lambda token: int(model.step(token).argmax())
        )
        return timed(started, seen, tokens, count, len(ids))

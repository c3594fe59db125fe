"""A folder of OpenVINO IRs: `openvino_genai.LLMPipeline`, or plain openvino for the three IRs of a GLM-Edge-V."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from ...convert.checkpoint import read_json
from ...core.errors import UsageError
from ..runtimes.answers import cannot_load, check_device
from .model import Timing
from .runner import Load, greedy, timed


def _properties(load: Load) -> dict[str, Any]:
    return {"INFERENCE_NUM_THREADS": load.threads} if load.threads and load.device == "CPU" else {}


class GenaiRunner:
    """Implements `runner.Runner` for a text model."""

    def __init__(self, load: Load) -> None:
        """Compile."""
        import openvino_genai

        check_device(load.device)
        self.framework = f"openvino_genai {importlib.metadata.version('openvino-genai')}"
        self.vocabulary = int(read_json(load.path / "config.json")["vocab_size"])
        try:
            backend = {"ATTENTION_BACKEND": load.attention} if load.attention else {}
            self._pipeline = openvino_genai.LLMPipeline(load.path, load.device, **_properties(load), **backend)
        except RuntimeError as error:
            raise cannot_load(load.path, load.device, error) from error

    def run(self, ids: Sequence[int], count: int) -> Timing:
        """Take the times from the pipeline's own metrics."""
        import openvino as ov
        import openvino_genai

        config = openvino_genai.GenerationConfig(max_new_tokens=count, ignore_eos=True, do_sample=False)
        metrics = self._pipeline.generate(ov.Tensor(np.array([ids], np.int64)), config).perf_metrics
        return Timing(
            first_ms=metrics.get_ttft().mean,
            tokens_per_second=1000 / metrics.get_tpot().mean,
            read=metrics.get_num_input_tokens(),
        )

    def see(self, picture: Path, question: str, count: int) -> Timing:
        """Refuse."""
        raise UsageError(f"This model takes no pictures, so {picture.name} cannot be shown to it.")


class VisionRunner:
    """Implements `runner.Runner` for a GLM-Edge-V."""

    def __init__(self, load: Load) -> None:
        """Compile all parts."""
        from ..runtimes.openvino_vision_chat import VisionChat

        self.framework = f"openvino {importlib.metadata.version('openvino')}"
        self._chat = VisionChat(load.path, device=load.device, properties=_properties(load))
        self.vocabulary = int(read_json(load.path / "config.json")["vocab_size"])

    def run(self, ids: Sequence[int], count: int) -> Timing:
        """Time the language half."""
        model = self._chat.model
        model.clear()
        started = time.perf_counter()
        tokens = greedy(
            lambda: int(model.prefill(ids, [], Event()).argmax()), lambda token: int(model.step(token).argmax())
        )
        return timed(started, None, tokens, count, len(ids))

    def see(self, picture: Path, question: str, count: int) -> Timing:
        """Time the tower, and what follows it."""
        model, chat = self._chat.model, self._chat
        model.clear()
        started = time.perf_counter()
        _, ids, pictures = chat.prompt(question, [picture])
        model.see(pictures[0], Event())
        seen = time.perf_counter()
        tokens = greedy(
            lambda: int(model.prefill(ids, pictures, Event()).argmax()), lambda token: int(model.step(token).argmax())
        )
        return timed(started, seen, tokens, count, len(ids))

"""A folder of OpenVINO IRs: `openvino_genai.LLMPipeline`, or plain openvino for those of a vision-language model."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...convert.checkpoint import read_json
from ...convert.multimodal import flat
from ...core.errors import UsageError
from ...runtimes import irs
from ...runtimes.answers import cannot_load, check_device
from .model import Timing
from .run_cached import CachedRunner
from .runner import Load


def _properties(load: Load) -> dict[str, Any]:
    return {"INFERENCE_NUM_THREADS": load.threads} if load.threads and load.device == "CPU" else {}


class GenaiRunner:
    """Implements `runner.Runner` for a text model."""

    def __init__(self, load: Load) -> None:
        """Compile."""
        import openvino_genai

        irs.require_state(load.path)
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


class VisionRunner(CachedRunner):
    """Implements `runner.Runner` for a vision-language model."""

    def __init__(self, load: Load) -> None:
        """Compile the language model; the tower comes with the first picture."""
        from ...runtimes.openvino_vision_chat import VisionChat

        chat = VisionChat(load.path, device=load.device, properties=_properties(load))
        framework = f"openvino {importlib.metadata.version('openvino')}"
        config = flat(read_json(load.path / "config.json"))
        super().__init__(framework, int(config["vocab_size"]), chat.model, chat)

"""A folder of ONNX models in onnxruntime, with its defaults."""

from __future__ import annotations

import importlib.metadata

from ...convert.checkpoint import read_json
from ...convert.multimodal import flat
from ...runtimes import onnx_models, onnx_session
from ...runtimes.onnx_chat import CachedOnnx, OnnxChat
from .run_cached import CachedRunner
from .runner import Load


class OnnxRunner(CachedRunner):
    """Implements `runner.Runner`, for vision-language models too. Of a text model it needs no chat template."""

    def __init__(self, load: Load) -> None:
        """Load the language model; the tower comes with the first picture."""
        chat = OnnxChat(load.path, threads=load.threads) if onnx_models.takes_images(load.path) else None
        super().__init__(
            f"{onnx_session.NAME} {importlib.metadata.version(onnx_session.NAME)}",
            int(flat(read_json(load.path / "config.json"))["vocab_size"]),
            chat.model if chat else CachedOnnx(load.path, threads=load.threads),
            chat,
        )

"""Chat with a converted ONNX model on plain onnxruntime, with its defaults; with pictures if it sees.

ids -> (table of embeddings -> the rows of pictures in their placeholders' places ->) decoder, cached -> logits
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..convert import multimodal
from ..convert.checkpoint import read_json
from ..convert.onnx.names import TEXT, VISION_PARTS
from ..convert.program.vision import Vision
from ..core.errors import ArtifactError
from . import onnx_models
from .answers import Sampling, require_cpu
from .cached import CachedDecoder
from .onnx_decoder import OnnxDecoder
from .onnx_graph import open_graph
from .onnx_session import NAME, require
from .onnxruntime import OnnxTower
from .sampled_chat import Known, SampledChat
from .vision_processor import vision_processor_of

_HINT = "Give the folder that `edgeconv onnx` wrote."


class CachedOnnx(CachedDecoder):
    """The models of an artifact in onnxruntime; the vision tower only once a picture is there."""

    def __init__(self, folder: Path, vision: Vision | None = None, *, threads: int | None = None) -> None:
        """Load the language model.

        Args:
            folder: of the artifact.
            vision: the vision part; None: it is a model of texts.
            threads: of the computation; None: one per core.

        Raises:
            ArtifactError: onnxruntime refuses it, or it is not a decoder of optimum's form.
        """
        paths = [folder / name for name in onnx_models.names(folder)]
        for path in paths:
            open_graph(path)  # it says in words what onnxruntime says in C++
        decoder = OnnxDecoder(paths[0], accurate=False, last_only=True, threads=threads)
        super().__init__(decoder, lambda: OnnxTower(folder, accurate=False, threads=threads, vision=vision), vision)


class OnnxChat(SampledChat):
    """A conversation with one artifact."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "CPU",
        system: str | None = None,
        sampling: Sampling | None = None,
        threads: int | None = None,
    ) -> None:
        """Load the artifact.

        Raises:
            ArtifactError: the folder is not a chat model, or onnxruntime cannot load it.
            CheckpointError: one of its small files is damaged.
            UsageError: another device than the CPU, onnxruntime is not installed, or the model's template drops system messages.
        """
        config = _read_config(folder)
        require_cpu(device, "An ONNX model", NAME)
        require()
        sees = onnx_models.takes_images(folder)
        vision = multimodal.described(folder)[1] if sees else None
        sight = vision_processor_of(folder, config) if sees else None
        super().__init__(Known.from_folder(folder, multimodal.flat(config), sight), system, sampling, sight)
        self.model = CachedOnnx(folder, vision, threads=threads)
        self.reset()


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ArtifactError(f"There is no folder {folder}.", _HINT)
    takes_images = any((folder / f"{name}.onnx").is_file() for name in VISION_PARTS)
    needed = [f"{name}.onnx" for name in (VISION_PARTS if takes_images else (TEXT,))] + [
        "config.json",
        "tokenizer.json",
    ]
    if not (folder / "tokenizer.json").is_file() and (folder / "config.json").is_file():
        raise ArtifactError(
            f"{folder} has no tokenizer.json, which a chat with an ONNX model reads.",
            "Add the fast tokenizer to the checkpoint (transformers' save_pretrained writes it), and convert again.",
        )
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(f"{folder} is not a converted chat model: {', '.join(missing)} missing.", _HINT)
    return read_json(folder / "config.json")

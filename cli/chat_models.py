"""Which runtime talks to what a path holds, format by format, for `edgeconv chat`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..runtimes.openvino_genai import Chat
    from ..runtimes.sampled_chat import SampledChat


@dataclass(frozen=True)
class Found:
    """A model that is not loaded yet.

    Attributes:
        open: loads it; takes `device`, `system` and `sampling`.
        sees: it takes pictures.
        blind: why it takes none, where there is more to say than that it is a model of texts.
    """

    open: Callable[..., Chat | SampledChat]
    sees: bool = False
    blind: str = ""


def find(path: Path) -> Found:
    """Look at the names of files; what is wrong in them is found as the model is loaded.

    Raises:
        ArtifactError: a folder holds several GGUF models, or a manifest beside one cannot be read.
    """
    for look in (_openvino_seeing, _onnx, _gguf):
        if found := look(path):
            return found
    from ..runtimes import openvino_genai

    return Found(partial(openvino_genai.Chat, path))


def _openvino_seeing(path: Path) -> Found | None:
    from ..runtimes import openvino_vision_chat

    if not openvino_vision_chat.sees(path):
        return None
    return Found(partial(openvino_vision_chat.VisionChat, path), sees=True)


def _onnx(path: Path) -> Found | None:
    from ..runtimes import onnx_chat, onnx_models

    if not onnx_models.remains(path):
        return None
    return Found(partial(onnx_chat.OnnxChat, path), sees=onnx_models.sees(path))


def _gguf(path: Path) -> Found | None:
    from ..convert.conversion import FORMATS

    if any(path.glob("*.xml")):
        return None
    file = FORMATS["gguf"].find(path)
    if file is None:
        return None
    from ..core.manifest import manifest_of
    from ..runtimes import llama_cpp_chat
    from ..validate.formats import gguf_projector

    projector, unseen = gguf_projector.find(file, manifest_of(file)) if file.is_file() else (None, "")
    reason = unseen.removesuffix(f", {gguf_projector.LEFT_OUT}")
    made = partial(llama_cpp_chat.LlamaCppChat, file, projector=projector.path if projector else None)
    return Found(made, sees=projector is not None, blind=reason)

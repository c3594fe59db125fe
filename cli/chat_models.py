"""Which runtime talks to what a path holds, format by format, for `edgeconv chat`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        takes_images: it takes pictures.
        why_not: why it takes none, where there is more to say than that it is a model of texts.
    """

    open: Callable[..., Chat | SampledChat]
    takes_images: bool = False
    why_not: str = ""


def find(path: Path) -> Found:
    """Look at the names of files; what is wrong in them is found as the model is loaded.

    Raises:
        ArtifactError: a folder holds several GGUF models, or a manifest beside one cannot be read.
    """
    from ..convert.conversion import locate

    found = locate(path)
    return CHATS[found.format.name](found.path) if found else _unrecognized(path)


def _openvino(path: Path) -> Found:
    from ..runtimes import irs, openvino_genai, openvino_vision_chat

    if irs.takes_images(path):
        return Found(partial(openvino_vision_chat.VisionChat, path), takes_images=True)
    return Found(partial(openvino_genai.Chat, path))


def _onnx(path: Path) -> Found:
    from ..runtimes import onnx_chat, onnx_models

    return Found(partial(onnx_chat.OnnxChat, path), takes_images=onnx_models.takes_images(path))


def _gguf(path: Path) -> Found:
    from ..core.manifest import manifest_of
    from ..runtimes import llama_cpp_chat, llama_cpp_projector

    projector, reason = llama_cpp_projector.find(path, manifest_of(path)) if path.is_file() else (None, "")
    made = partial(llama_cpp_chat.LlamaCppChat, path, projector=projector.path if projector else None)
    return Found(made, takes_images=projector is not None, why_not=reason)


def _unrecognized(path: Path) -> Found:
    """Let the runtime that the rest of a model is for say what is missing."""
    from ..runtimes import onnx_models

    return _onnx(path) if onnx_models.remains(path) else _openvino(path)


CHATS: Mapping[str, Callable[[Path], Found]] = {"openvino": _openvino, "gguf": _gguf, "onnx": _onnx}
"""By the name of the format."""

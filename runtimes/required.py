"""What running an artifact needs to be installed, by the name of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import llama_cpp_binding, onnx_session


def _openvino() -> None:
    """Openvino is a requirement of edgeconv itself."""


REQUIRE: Mapping[str, Callable[[], None]] = {
    "openvino": _openvino,
    "gguf": llama_cpp_binding.require,
    "onnx": onnx_session.require,
}
"""Each raises UsageError if the package of the runtime is missing."""

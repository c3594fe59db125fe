"""The ways of an ONNX model: those of an IR, whose values its weights have, in the layouts of onnxruntime's operators."""

from __future__ import annotations

from ...convert.onnx.tensor_layout import store
from ...core.format_names import FormatName
from ...quantize.assign import Assignment
from ..sensitivity.codec import Codec
from .openvino import OpenVINOSpace


class OnnxSpace(OpenVINOSpace):
    """Implements `space.Space`."""

    format: FormatName = "onnx"

    def bytes_of(self, codec: Codec, rows: int, columns: int) -> int:
        """Return the bytes that a weight takes in ONNX."""
        assignment = Assignment(codec.name, codec.group)
        stored = store("", dtype="BF16", shape=(rows, columns), assignment=assignment, precision=codec.name)
        return sum(part.size for part in (stored.values, stored.scale, stored.zero_point) if part)

"""The floating-point types that weights are converted from and to, under every name that they go by: one row a type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Float:
    """One type.

    Attributes:
        element: OpenVINO's and ggml's name.
        stored: safetensors' name.
        precision: the name that users give it on the command line, and NNCF's mode.
        torch: torch's name, as config.json has it.
        onnx: the name in `onnx.TensorProto.DataType`.
        bits: of one element.
        numpy: what an array of them is; bfloat16, which numpy lacks, is its bits.
    """

    element: str
    stored: str
    precision: str
    torch: str
    onnx: str
    bits: int
    numpy: type[np.uint16] | type[np.float16] | type[np.float32]


FLOATS = (
    Float("bf16", "BF16", "bf16", "bfloat16", "BFLOAT16", 16, np.uint16),
    Float("f16", "F16", "fp16", "float16", "FLOAT16", 16, np.float16),
    Float("f32", "F32", "fp32", "float32", "FLOAT", 32, np.float32),
)
"""Types of weights that can be converted."""
BY_ELEMENT = {kind.element: kind for kind in FLOATS}
BY_STORED = {kind.stored: kind for kind in FLOATS}
BY_PRECISION = {kind.precision: kind for kind in FLOATS}
BY_NUMPY = {np.dtype(kind.numpy): kind for kind in FLOATS}
NAMED = "BF16, F16 and F32"
"""The types in the words of messages."""


def element_of(stored: str) -> str | None:
    """Return OpenVINO's and ggml's name of the type that safetensors calls `stored`; None for one that is not converted."""
    kind = BY_STORED.get(stored)
    return kind.element if kind else None

"""The names of the formats: the one list of them. `convert.conversion.FORMATS` holds what each name stands for."""

from __future__ import annotations

from typing import Literal, get_args

FormatName = Literal["openvino", "gguf", "onnx"]
"""As commands, recipes, manifests and published results have it."""
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)
"""In the order in which commands and tables show them."""

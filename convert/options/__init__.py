"""What a user may ask of each format, declared once: commands, recipes, their schema, search points and docs follow from it.

An option is one line of a class here, and is used where its name stands in `quantize.request.Request` or in the format's job.
Nothing heavy is imported: `edgeconv --help` reads all of it.
"""

from ...core.option import Declared, Option, Options, declared
from .gguf import GgufOptions
from .onnx import OnnxOptions
from .openvino import OpenVINOOptions

OF_FORMAT: dict[str, type[Options]] = {"openvino": OpenVINOOptions, "gguf": GgufOptions, "onnx": OnnxOptions}

__all__ = ["OF_FORMAT", "Declared", "GgufOptions", "OnnxOptions", "OpenVINOOptions", "Option", "Options", "declared"]

"""`edgeconv onnx`: a checkpoint becomes an ONNX model for onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..convert.options import OnnxOptions
from . import conversion

if TYPE_CHECKING:
    from ..convert.conversion import Artifact


@conversion.command(
    OnnxOptions,
    validate="in onnxruntime whether the result is still its checkpoint, as `edgeconv validate` does, and "
    "write the report to OUT/parity.",
)
def onnx(asked: OnnxOptions, how: conversion.How) -> None:
    """Convert a chat checkpoint to an ONNX model with its tokenizer, in one pass.

    The folder that results runs in onnxruntime, with the inputs and outputs that optimum's ORTModelForCausalLM reads, and in
    onnxruntime-genai. GLM-Edge-V becomes three models, named as transformers.js names such parts. Weights have the very values
    that `edgeconv openvino` gives them; int4 is MatMulNBits, an operator of onnxruntime's, all else is standard ONNX (opset 21).
    The graphs of the known families are built here; those of other decoders of text that transformers implements are exported by
    torch around stand-ins for the weights, which are bound to them afterwards (--engine). No code of a checkpoint's is ever run.
    A private or gated repository needs a token: set HF_TOKEN or log in with `hf auth login`.
    """
    conversion.convert(asked, how, more=_more)


def _more(artifact: Artifact) -> dict[str, Any]:
    return {"files": sorted(artifact.manifest.outputs), "vision_scheme": conversion.vision_scheme(artifact)}

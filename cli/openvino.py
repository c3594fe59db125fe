"""`edgeconv openvino`: a checkpoint becomes an OpenVINO IR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..convert.options import OpenVINOOptions
from ..core.errors import UsageError
from . import conversion

if TYPE_CHECKING:
    from ..convert.conversion import Artifact


@conversion.command(
    OpenVINOOptions,
    validate="whether the result is still its checkpoint, as `edgeconv validate` does, and write the "
    "report to OUT/parity.",
)
def openvino(asked: OpenVINOOptions, how: conversion.How) -> None:
    """Convert a chat checkpoint to an OpenVINO IR with its tokenizer.

    The folder that results loads in OVModelForCausalLM, openvino_genai.LLMPipeline and plain openvino. A private or
    gated repository needs a token: set HF_TOKEN or log in with `hf auth login`.
    """
    if how.validate and asked.layout != "optimum":
        raise UsageError(
            "--validate measures the optimum layout.", "Validate that one: the weights of both are the same."
        )
    conversion.convert(asked, how, more=_more)


def _more(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "calibration": manifest.calibration.model_dump() if manifest.calibration else None,
        "vision_scheme": conversion.vision_scheme(artifact),
        "row_order": manifest.row_order,
    }

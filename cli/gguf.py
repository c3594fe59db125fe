"""`edgeconv gguf`: a checkpoint becomes a GGUF for llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..convert.options import GgufOptions
from . import conversion

if TYPE_CHECKING:
    from ..convert.conversion import Artifact


@conversion.command(
    GgufOptions,
    validate="in llama.cpp whether the result is still its checkpoint, as `edgeconv validate` does, and write "
    "the report to OUT/parity, or beside the file.",
)
def gguf(asked: GgufOptions, how: conversion.How) -> None:
    """Convert a chat checkpoint to a GGUF for llama.cpp, in one pass.

    Every tensor has the very bytes that llama.cpp's own quantizer would give it. The mixes and --pure, --leave-output-tensor,
    --output-type (--output-tensor-type there), --token-embedding-type and --tensor-type mean what they mean to llama-quantize.
    A private or gated repository needs a token: set HF_TOKEN or log in with `hf auth login`.
    """
    conversion.convert(asked, how, more=_more, rows=_rows)


def _more(artifact: Artifact) -> dict[str, Any]:
    return {"files": sorted(artifact.manifest.outputs)}


def _rows(artifact: Artifact) -> list[tuple[str, str]]:
    from ..convert.conversion import format_of

    manifest = artifact.manifest
    return [("types", format_of(manifest).describe(manifest.scheme)), ("quantizer", manifest.compressor)]

"""The registry of formats: the one place that lists them. A new one is a file like `onnx.py`, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.manifest import Manifest
from ...quantize.scheme import Scheme
from .format import Format
from .gguf import GGUF
from .onnx import ONNX
from .openvino import OPENVINO

FORMATS: dict[str, Format[Any, Any]] = {one.name: one for one in (OPENVINO, GGUF, ONNX)}
"""By name, in the order in which commands and tables show them."""


def format_of(manifest: Manifest) -> Format[Any, Any]:
    """Return the format that a manifest says."""
    return FORMATS[manifest.target]


def recognize(path: Path) -> Format[Any, Any] | None:
    """Return the format of the model that a path holds, by the names of files; None if it is not a converted model's."""
    by_precedence = sorted(FORMATS.values(), key=lambda one: one.precedence)
    return next((one for one in by_precedence if one.holds(path)), None)


def describe_vision(fields: Mapping[str, Any]) -> str:
    """Put the scheme of a vision encoder, as a manifest of any format states it, into a line.

    Raises:
        TypeError: there are fields that this version does not know.
    """
    return Scheme(**fields).describe()

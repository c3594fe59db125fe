"""The registry of formats: the one place that lists them. A new one is a file like `onnx.py`, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.manifest import Manifest, manifest_of
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


@dataclass(frozen=True)
class Located:
    """A converted model as it lies: a folder, or a file, of one format."""

    format: Format[Any, Any]
    path: Path

    @property
    def manifest(self) -> Manifest | None:
        """What edgeconv wrote of it. Raises ArtifactError if that cannot be read."""
        return manifest_of(self.path)


def locate(path: Path) -> Located | None:
    """Return the model that a path holds, by the names of files; None if it holds no converted model.

    Raises:
        ArtifactError: it has several, of which one must be named, or not the whole of one.
    """
    form = recognize(path)
    return Located(form, form.model(path)) if form else None


def describe_vision(fields: Mapping[str, Any]) -> str:
    """Put the scheme of a vision encoder, as a manifest of any format states it, into a line.

    Raises:
        TypeError: there are fields that this version does not know.
    """
    return Scheme(**fields).describe()

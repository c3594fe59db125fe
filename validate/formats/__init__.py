"""The formats of artifacts; `open_artifact` opens what a path holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ...convert.conversion import locate
from ...core.errors import ArtifactError
from ...core.manifest import Manifest
from ...core.paths import own_links
from ...runtimes import irs
from .base import Artifact, Weights

__all__ = ["ARTIFACTS", "Artifact", "Weights", "open_artifact"]


def open_artifact(path: Path) -> Artifact:
    """Open a folder of IRs, a .gguf, or a folder with one of them or with ONNX models.

    Raises:
        ArtifactError: it holds no converted model, or several.
        UsageError: it needs a package that is not installed.
    """
    if path.is_dir():
        own_links(path, ArtifactError, what="the artifact")
    found = locate(path)
    if found is None:
        raise irs.absent(path)
    return ARTIFACTS[found.format.name](found.path, found.manifest)


def _openvino(path: Path, manifest: Manifest | None) -> Artifact:
    from .openvino import OpenVINOArtifact

    return OpenVINOArtifact(path, manifest)


def _gguf(path: Path, manifest: Manifest | None) -> Artifact:
    from .gguf import GgufArtifact

    return GgufArtifact(path, manifest)


def _onnx(path: Path, manifest: Manifest | None) -> Artifact:
    from .onnx import OnnxArtifact

    return OnnxArtifact(path, manifest)


ARTIFACTS: Mapping[str, Callable[[Path, Manifest | None], Artifact]] = {
    "openvino": _openvino,
    "gguf": _gguf,
    "onnx": _onnx,
}
"""By the name of the format: what opens an artifact for whatever examines or measures one."""

"""The formats of artifacts; `open_artifact` finds out which one a path holds."""

from __future__ import annotations

from pathlib import Path

from ...convert.gguf.read import parts
from ...convert.openvino.stream_ir import LANGUAGE, TEXT
from ...core.errors import ArtifactError
from ...core.manifest import manifest_of
from ...core.paths import own_links
from ...runtimes import onnx_models
from .base import Artifact, Weights

__all__ = ["Artifact", "Weights", "open_artifact"]


def open_artifact(path: Path) -> Artifact:
    """Open a folder of IRs, a .gguf, or a folder with one of them or with ONNX models.

    Raises:
        ArtifactError: it holds no converted model, or several.
        UsageError: it needs a package that is not installed.
    """
    if path.suffix == ".gguf" and not path.is_dir():
        return _gguf(path)
    own_links(path, ArtifactError, what="the artifact")
    if (path / onnx_models.names(path)[0]).is_file():
        from .onnx import OnnxArtifact

        return OnnxArtifact(path, manifest_of(path))
    if not any((path / f"{name}.xml").is_file() for name in (TEXT, LANGUAGE)):
        whole = {parts(file)[0] for file in path.glob("*.gguf") if not file.name.startswith("mmproj")}
        if len(whole) > 1:
            raise ArtifactError(
                f"{path} holds {len(whole)} GGUF models.", f"Name one: {', '.join(sorted(p.name for p in whole)[:3])}."
            )
        if whole:
            return _gguf(whole.pop())
    from .openvino import OpenVINOArtifact

    return OpenVINOArtifact(path, manifest_of(path))


def _gguf(path: Path) -> Artifact:
    from .gguf import GgufArtifact

    return GgufArtifact(path, manifest_of(path))

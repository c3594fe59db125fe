"""The formats of artefacts; `open_artefact` finds out which one a path holds."""

from __future__ import annotations

from pathlib import Path

from ...convert.gguf.read import parts
from ...convert.openvino.stream_ir import LANGUAGE, TEXT
from ...core.errors import ArtefactError
from ...core.manifest import manifest_of
from ...core.paths import own_links
from ...runtimes import onnx_models
from .base import Artefact, Weights

__all__ = ["Artefact", "Weights", "open_artefact"]


def open_artefact(path: Path) -> Artefact:
    """Open a folder of IRs, a .gguf, or a folder with one of them or with ONNX models.

    Raises:
        ArtefactError: it holds no converted model, or several.
        UsageError: it needs a package that is not installed.
    """
    if path.suffix == ".gguf" and not path.is_dir():
        return _gguf(path)
    own_links(path, ArtefactError, what="the artifact")
    if (path / onnx_models.names(path)[0]).is_file():
        from .onnx import OnnxArtefact

        return OnnxArtefact(path, manifest_of(path))
    if not any((path / f"{name}.xml").is_file() for name in (TEXT, LANGUAGE)):
        whole = {parts(file)[0] for file in path.glob("*.gguf") if not file.name.startswith("mmproj")}
        if len(whole) > 1:
            raise ArtefactError(
                f"{path} holds {len(whole)} GGUF models.", f"Name one: {', '.join(sorted(p.name for p in whole)[:3])}."
            )
        if whole:
            return _gguf(whole.pop())
    from .openvino import OpenVINOArtefact

    return OpenVINOArtefact(path, manifest_of(path))


def _gguf(path: Path) -> Artefact:
    from .gguf import GgufArtefact

    return GgufArtefact(path, manifest_of(path))

"""The mmproj that belongs to a GGUF, if there is one: found by the manifest, by its name, or as the only one beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..convert import families
from ..convert.gguf.mmproj import PREFIX
from ..convert.gguf.read import GgufFile, open_gguf, parts
from ..core.errors import ArtifactError
from ..core.manifest import Manifest


@dataclass(frozen=True)
class ProjectorFile:
    """A mmproj-*.gguf. It may be damaged: the checks say so."""

    path: Path

    @cached_property
    def _opened(self) -> GgufFile | ArtifactError:
        try:
            return open_gguf(self.path)
        except ArtifactError as error:
            return error

    @property
    def kind(self) -> str:
        """llama.cpp's name of the projector; empty if the file cannot be opened."""
        if isinstance(self._opened, ArtifactError):
            return ""
        keys = self._opened.keys
        return str(keys.get("clip.projector_type", keys.get("clip.vision.projector_type", "")))

    def file(self) -> GgufFile:
        """Return the open file. Raises ArtifactError."""
        if isinstance(self._opened, ArtifactError):
            raise self._opened
        return self._opened


def find(path: Path, manifest: Manifest | None) -> tuple[ProjectorFile | None, str]:
    """Find the vision part.

    Args:
        path: the language model; of a split one any part.
        manifest: its manifest, if there is one.

    Returns:
        The file, or None and the reason.
    """
    named = [name for name in manifest.outputs if name.startswith("mmproj")] if manifest else []
    own = f"{PREFIX}{_stem(path)}.gguf"
    for name in [*named, own]:
        if path.with_name(name).is_file():
            return ProjectorFile(path.with_name(name)), ""
    if named:
        return None, f"{named[0]} is missing beside {path.name}"
    beside = [] if manifest else sorted(path.parent.glob("mmproj*.gguf"))
    if len(beside) > 1:
        names = ", ".join(file.name for file in beside[:3])
        return None, f"Which of {len(beside)} files belongs to {path.name} is not known ({names})"
    if not beside:
        return None, f"There is no mmproj-*.gguf beside {path.name}"
    found = ProjectorFile(beside[0])
    known = families.projectors()
    if found.kind and found.kind not in known:
        return None, f"{beside[0].name} is a projector of type {found.kind!r}, not of {', '.join(known)}"
    return found, ""


def _stem(path: Path) -> str:
    first = parts(path)[0].stem
    return first.removesuffix("-00001-of-" + first[-5:]) if len(parts(path)) > 1 else first

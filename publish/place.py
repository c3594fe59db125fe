"""Where an artifact lies: a folder, or a single GGUF with manifest and report beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ArtifactError
from ..core.manifest import MANIFEST_NAME, Manifest, manifest_path, read_manifest
from ..core.progress import Progress
from ..validate.artifact import FileCheck, check_files

PARITY = "parity"
"""Folder inside an artifact where `--validate` leaves its report; beside a single file it is called after it."""


@dataclass(frozen=True)
class Place:
    """One artifact on this machine.

    Attributes:
        path: what the user named.
        folder: that the names of its files are relative to.
        manifest_path: of its manifest, which the Hub knows as edgeconv.json whatever it is called here.
        manifest: the same, read.
        report: folder of its parity report; it need not be there.
    """

    path: Path
    folder: Path
    manifest_path: Path
    manifest: Manifest
    report: Path

    @property
    def single(self) -> bool:
        """True for a file: what else lies in its folder is not of it."""
        return self.path != self.folder

    def check(self, progress: Progress) -> FileCheck:
        """Compare its files with the manifest. Raises ArtifactError as `validate.artifact.check_files`."""
        found = check_files(self.folder, self.manifest, progress)
        return FileCheck(found.damaged, found.missing, ()) if self.single else found


def find(path: Path) -> Place:
    """Find the manifest of a folder, or of a file.

    Raises:
        ArtifactError: there is none, or none that can be read.
    """
    if not path.is_file():
        return Place(path, path, path / MANIFEST_NAME, read_manifest(path), path / PARITY)
    where = manifest_path(path)
    if where is None:
        raise ArtifactError(
            f"{path} has no manifest beside it.", "Give a file or a folder that edgeconv wrote, with its edgeconv.json."
        )
    if where.name == MANIFEST_NAME:  # one of the files of a folder: the artifact is the folder
        return find(path.parent)
    return Place(path, path.parent, where, read_manifest(where), path.with_name(f"{path.stem}.{PARITY}"))

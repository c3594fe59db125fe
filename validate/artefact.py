"""Is a converted model still the one that was written: its files against its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..core.digest import sha256_file
from ..core.errors import ArtefactError
from ..core.manifest import LOG_NAME, MANIFEST_NAME, Manifest
from ..core.progress import Progress


@dataclass(frozen=True)
class FileCheck:
    """What differs between a folder and its manifest; paths are relative, POSIX and sorted."""

    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """True if every file of the manifest is there, byte for byte. Files that somebody added do no harm."""
        return not (self.damaged or self.missing)


def check_files(folder: Path, manifest: Manifest, progress: Progress) -> FileCheck:
    """Compare size and SHA-256 of every output with the manifest.

    Raises:
        ArtefactError: the manifest names a file outside the folder, or a file cannot be read.
    """
    for name in manifest.outputs:
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts or "\\" in name or "\0" in name:
            raise ArtefactError(
                f"{folder / MANIFEST_NAME} names a file outside the folder: {name!r}.", "Do not use it."
            )
    damaged, missing = [], []
    task = progress.task("Checking files", sum(file.size for file in manifest.outputs.values()))
    for name, expected in sorted(manifest.outputs.items()):
        path = folder / name
        if not path.is_file():
            missing.append(name)
            continue
        try:
            if path.stat().st_size != expected.size or sha256_file(path, task) != expected.sha256:
                damaged.append(name)
        except OSError as error:
            raise ArtefactError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    task.finish()
    known = {*manifest.outputs, MANIFEST_NAME, LOG_NAME}
    present = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return FileCheck(tuple(damaged), tuple(missing), tuple(sorted(set(present) - known)))

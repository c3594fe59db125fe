"""Are an artifact's files still what its manifest says: size and SHA-256 of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .digest import sha256_file
from .errors import ArtifactError
from .manifest import FileDigest
from .paths import is_inner, own_file
from .progress import Progress


@dataclass(frozen=True)
class OutputCheck:
    """Names of files that differ from the manifest, and of those that are not there; both sorted."""

    damaged: tuple[str, ...]
    missing: tuple[str, ...]


def check_outputs(folder: Path, outputs: Mapping[str, FileDigest], progress: Progress) -> OutputCheck:
    """Compare files with their digests.

    Args:
        folder: that the names are relative to.
        outputs: of the manifest.
        progress: reports it, in bytes.

    Raises:
        ArtifactError: a name leads out of the folder, or a file cannot be read.
    """
    damaged, missing = [], []
    for name in outputs:
        if not is_inner(name) or _lies_there(folder / name):
            own_file(folder, name, ArtifactError, whose=f"The manifest in {folder}", hint="Do not use it.", linked=True)
    task = progress.task("Checking files", sum(file.size for file in outputs.values()))
    for name, expected in sorted(outputs.items()):
        path = folder / name
        try:
            if not path.is_file():
                missing.append(name)
            elif path.stat().st_size != expected.size or sha256_file(path, task) != expected.sha256:
                damaged.append(name)
        except OSError as error:
            raise ArtifactError(
                f"{str(path)[:1000]} cannot be read: {error.strerror}.", "Check its permissions."
            ) from error
    task.finish()
    return OutputCheck(tuple(damaged), tuple(missing))


def _lies_there(path: Path) -> bool:
    """Whether there is something that is not a folder; what cannot be looked at, as a name too long, is told when it is read."""
    try:
        return path.exists() and not path.is_dir()
    except OSError:
        return False

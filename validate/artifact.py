"""Is a converted model still the one that was written: its files against its manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..core.manifest import LOG_NAME, MANIFEST_NAME, Manifest
from ..core.outputs import check_outputs
from ..core.progress import Progress

_REPORT = re.compile(r"parity/\.?parity\.(json|md|html)")
"""Our own report in an artifact, or what a killed run left of it: a second report must not differ for finding it there."""


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
        ArtifactError: the manifest names a file outside the folder, or a file cannot be read.
    """
    found = check_outputs(folder, manifest.outputs, progress)
    known = {*manifest.outputs, MANIFEST_NAME, LOG_NAME}
    present = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    extra = sorted(name for name in set(present) - known if not _REPORT.match(name))
    return FileCheck(found.damaged, found.missing, tuple(extra))

"""How a staged result gets its name: a folder in one step, single files one by one with the manifest last."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from .errors import ArtefactError, OutputError
from .manifest import read_manifest, sidecar
from .scratch import PID, scratch

_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux's <linux/fs.h> and <fcntl.h>."""


def prefix(target: Path) -> str:
    """Return how the names of a target's staging folders begin."""
    return f"{target.name}.partial-"


def folder(staged: Path, target: Path, before: bool) -> None:
    """Put the new folder in place; where there is an old one the two change places at once.

    Args:
        staged: the new one; where there was an old one, that is left under this name.
        target: the name.
        before: whether something lay there when the run began.

    Raises:
        OutputError: something was put there meanwhile.
    """
    (staged / PID).unlink()
    if before and target.exists():
        if not _exchange(staged, target):
            _replace(staged, target)
    else:
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise _appeared(target) from error
            raise
    _sync_folder(target.parent)


def _exchange(staged: Path, target: Path) -> bool:
    """Let two folders change names in one step; False where the system cannot (`man 2 renameat2`)."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return int(call(_HERE, os.fsencode(staged), _HERE, os.fsencode(target), _EXCHANGE)) == 0


def _replace(staged: Path, target: Path) -> None:
    """The same in two steps: `rescue` mends what a kill between them leaves."""
    with scratch(target.parent, prefix(target)) as aside:
        target.rename(aside / "old")
        try:
            staged.rename(target)
        except BaseException:
            (aside / "old").rename(target)
            raise


def _appeared(target: Path) -> OutputError:
    return OutputError(
        f"Another run wrote {target} meanwhile; it stays as it is.", "Look at it; --force replaces it with a new run."
    )


def files(staged: Path, target: Path, before: bool) -> None:
    """Put the new files in place one by one, the manifest last; parts of the old artefact that the new one lacks go first.

    Arguments and errors are those of `folder`.
    """
    manifest = sidecar(target)
    if manifest.exists() and not before:
        raise _appeared(target)
    names = [path.name for path in staged.iterdir() if path.name != PID]
    for path in {target.with_name(name) for name in _outputs_of(manifest) - set(names)}:
        if path.is_file() and is_gguf(path):
            path.unlink()
    manifest.unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: (name == manifest.name, name)):
        (staged / name).replace(target.with_name(name))
    _sync_folder(target.parent)


def half_published(target: Path) -> set[str]:
    """Name the files that a run which died between two renames had put in place: without a manifest they are nobody's."""
    if sidecar(target).exists() or not target.parent.is_dir():
        return set()
    orphans = (path for path in target.parent.iterdir() if path.name.startswith(prefix(target)) and path.is_dir())
    return {name for orphan in orphans for name in _moved_from(orphan, target)}


def rescue(target: Path, orphan: Path) -> None:
    """Undo what a run had begun when it died: put back the old artefact that it had moved aside, remove what it half published.

    Without the orphan nobody would know later that these files are nobody's.
    """
    if (orphan / "old").is_dir() and not target.exists():
        (orphan / "old").rename(target)
    if not sidecar(target).exists():
        for path in map(target.with_name, _moved_from(orphan, target)):
            if path.is_file() and is_gguf(path):
                path.unlink()


def _moved_from(orphan: Path, target: Path) -> set[str]:
    """Name the files that a run's manifest promises and its folder holds no more; it writes the manifest behind all of them."""
    manifest = orphan / sidecar(target).name
    return _outputs_of(manifest) - {path.name for path in orphan.iterdir()} if manifest.is_file() else set()


def _outputs_of(manifest: Path) -> set[str]:
    """Name the files that lie beside a manifest and belong to it; none if it cannot be read, for then nobody knows."""
    try:
        named = read_manifest(manifest).outputs if manifest.is_file() else {}
    except ArtefactError:
        return set()
    return {name for name in named if name == Path(name).name != ".."}


def sync(folder: Path) -> None:
    """Have the disk hold every file of a folder, and their names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF does."""
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"

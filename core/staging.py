"""Crash-safe output: everything is written beside the target, and one rename makes it visible; of single files one each.

A run that dies leaves at most a folder `OUT.partial-…`, which the next run to the same output removes; one that lives is not
disturbed, and a second run to its output is refused. The manifest is written last, so a folder or file without it is not an artefact.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .errors import ArtefactError, OutputError
from .manifest import MANIFEST_NAME, read_manifest, sidecar
from .scratch import PID, scratch, sweep

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NEARLY_FULL = 1 << 16
"""Bytes free, below which an error that is no OSError (C++ has its own) is put down to the disk."""
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux's <linux/fs.h> and <fcntl.h>."""


def check_output(target: Path, *, force: bool) -> None:
    """Refuse an output that exists, unless `force`; a folder that is no artefact of ours is never replaced silently.

    Raises:
        OutputError: the target exists, or its parent cannot be written to.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(f"{target} exists and is not a folder.", "Choose another --output.")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise OutputError(
            f"{target} exists and is not empty.", "Repeat with --force to replace it, or choose another --output."
        )
    if target.is_dir() and any(target.iterdir()) and not _is_replaceable(target):
        raise OutputError(
            f"{target} holds files that no conversion wrote; --force replaces only converted models.",
            "Choose another --output.",
        )
    _require_writable(target)


def check_files(target: Path, names: Iterable[str], *, force: bool) -> None:
    """Refuse single files that exist beside `target`, unless `force`; what is no GGUF and no manifest is never replaced.

    Args:
        target: the file that was asked for.
        names: of all files that will be written beside it, its manifest excepted.
        force: replace what is there.

    Raises:
        OutputError: a file exists, or the folder cannot be written to.
    """
    manifest = sidecar(target)
    force_over = {target.with_name(name) for name in _half_published(target)}
    for path in [*(target.with_name(name) for name in names), manifest]:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OutputError(f"{path} exists and is not a file.", "Choose another --output.")
        if path.exists() and not force and path not in force_over:
            raise OutputError(f"{path} exists.", "Repeat with --force to replace it, or choose another --output.")
        if path.exists() and path != manifest and not _is_gguf(path):
            raise OutputError(
                f"{path} is not a GGUF file; --force replaces only converted models.", "Choose another --output."
            )
    _require_writable(target)


def check_space(target: Path, needed: int) -> None:
    """Refuse to start what the file system of `target` cannot hold (`needed` in bytes).

    Raises:
        OutputError: too little free space.
    """
    free = shutil.disk_usage(_existing_parent(target)).free
    if free < needed:
        raise OutputError(
            f"{_existing_parent(target)} has {free / 1e9:.2f} GB free; the result needs {needed / 1e9:.2f} GB.",
            "Free some space, or choose an --output on another disk.",
        )


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a folder beside `target`; on success it replaces `target`, on any error it is removed.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    with _staged(target, _publish) as folder:
        yield folder


@contextmanager
def staged_files(target: Path) -> Iterator[Path]:
    """Give a folder beside `target`; on success each of its files replaces the one of its name beside `target`.

    The manifest comes last, and an old one goes first: files that lie beside a manifest belong to it.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    with _staged(target, _publish_files) as folder:
        yield folder


@contextmanager
def _staged(target: Path, publish: Callable[[Path, Path, bool], None]) -> Iterator[Path]:
    target = target.absolute()
    parent, prefix = target.parent, _prefix(target)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        rescue = partial(_rescue, target)
        if sweep(parent, prefix, rescue):
            raise OutputError(f"Another run is writing {target} now.", "Wait for it, or choose another --output.")
        before = _is_taken(target)
        with scratch(parent, prefix, rescue) as folder:
            yield folder
            _sync(folder)
            publish(folder, target, before)
    except OutputError:
        raise
    except OSError as error:
        if error.errno in (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise _explain(error, parent) from error
        raise
    except Exception as error:
        if _is_full(parent):
            raise _explain(OSError(errno.ENOSPC, str(error)), parent) from error
        raise


def _prefix(target: Path) -> str:
    return f"{target.name}.partial-"


def _is_taken(target: Path) -> bool:
    """Whether an artefact lies there: a folder with something in it, or single files with their manifest."""
    return sidecar(target).exists() or (target.is_dir() and any(target.iterdir()))


def _rescue(target: Path, orphan: Path) -> None:
    """Put an old artefact back that a run had moved aside when it died."""
    if (orphan / "old").is_dir() and not target.exists():
        (orphan / "old").rename(target)


def _half_published(target: Path) -> set[str]:
    """Name the files that a run which died between two renames had put in place: without a manifest they are nobody's."""
    manifest = sidecar(target)
    if manifest.exists() or not target.parent.is_dir():
        return set()
    found: set[str] = set()
    for orphan in target.parent.iterdir():
        if orphan.name.startswith(_prefix(target)) and (orphan / manifest.name).is_file():
            found |= _outputs_of(orphan / manifest.name) - {path.name for path in orphan.iterdir()}
    return found


def _publish_files(folder: Path, target: Path, before: bool) -> None:
    """Put the new files in place one by one, the manifest last; parts of the old artefact that the new one lacks go first."""
    manifest = sidecar(target)
    if manifest.exists() and not before:
        raise _appeared(target)
    names = [path.name for path in folder.iterdir() if path.name != PID]
    for path in {target.with_name(name) for name in _outputs_of(manifest) - set(names)}:
        if path.is_file() and _is_gguf(path):
            path.unlink()
    manifest.unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: (name == manifest.name, name)):
        (folder / name).replace(target.with_name(name))
    _sync_folder(target.parent)


def _outputs_of(manifest: Path) -> set[str]:
    """Name the files that lie beside a manifest and belong to it; none if it cannot be read, for then nobody knows."""
    try:
        named = read_manifest(manifest).outputs if manifest.is_file() else {}
    except ArtefactError:
        return set()
    return {name for name in named if name == Path(name).name != ".."}


def _publish(folder: Path, target: Path, before: bool) -> None:
    """Put the new folder in place; where there is an old one the two change places at once, and the old one is removed."""
    (folder / PID).unlink()
    if before and target.exists():
        if not _exchange(folder, target):
            _replace(folder, target)
    else:
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise _appeared(target) from error
            raise
    _sync_folder(target.parent)


def _exchange(folder: Path, target: Path) -> bool:
    """Let two folders change names in one step; False where the system cannot (`man 2 renameat2`)."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return int(call(_HERE, os.fsencode(folder), _HERE, os.fsencode(target), _EXCHANGE)) == 0


def _replace(folder: Path, target: Path) -> None:
    """The same in two steps: `_rescue` mends what a kill between them leaves."""
    with scratch(target.parent, _prefix(target)) as aside:
        target.rename(aside / "old")
        try:
            folder.rename(target)
        except BaseException:
            (aside / "old").rename(target)
            raise


def _appeared(target: Path) -> OutputError:
    return OutputError(
        f"Another run wrote {target} meanwhile; it stays as it is.", "Look at it; --force replaces it with a new run."
    )


def _sync(folder: Path) -> None:
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


def _require_writable(target: Path) -> None:
    parent = _existing_parent(target)
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent} cannot be written to.", "Choose an --output in a folder of yours.")


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _is_replaceable(target: Path) -> bool:
    return (target / MANIFEST_NAME).is_file() or (target / "openvino_model.xml").is_file()


def _existing_parent(target: Path) -> Path:
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _NEARLY_FULL
    except OSError:
        return False


def _explain(error: OSError, folder: Path) -> OutputError:
    if error.errno in _FULL:
        mount = folder
        while not mount.is_mount() and mount != mount.parent:
            mount = mount.parent
        free = shutil.disk_usage(mount).free
        return OutputError(
            f"The disk of {folder} is full: {free / 1e6:,.1f} MB are free on the file system {mount}.",
            "Free some space, or choose an --output on another disk.",
        )
    return OutputError(f"{folder} cannot be written to: {error.strerror}.", "Choose an --output in a folder of yours.")

"""Crash-safe output: everything is written beside the target, and one rename makes it visible.

A run that dies leaves at most a folder `OUT.partial-…`, which the next run to the same output removes. The manifest is written
last, so a folder without it is not an artefact.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


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
    parent = _existing_parent(target)
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent} cannot be written to.", "Choose an --output in a folder of yours.")


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
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
        (folder / ".pid").write_text(str(os.getpid()))
        folder.chmod(0o755)
    except OSError as error:
        raise _explain(error, target.parent) from error
    try:
        yield folder
        _sync(folder)  # takes seconds, during which .pid keeps another run's sweep away
        (folder / ".pid").unlink()
        _publish(folder, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise _explain(error, target.parent) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, target: Path) -> None:
    """Put the new folder in place; an old one steps aside first and is removed last."""
    if not target.exists():
        folder.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
    target.rename(old / "old")
    try:
        folder.rename(target)
    except OSError:
        (old / "old").rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
    _sync_folder(target.parent)


def _sweep(target: Path) -> None:
    """Remove what dead runs to the same target left behind."""
    for orphan in target.parent.glob(f"{target.name}.partial-*"):
        pid = orphan / ".pid"
        if orphan.is_dir() and not (pid.is_file() and _alive(pid.read_text())):
            shutil.rmtree(orphan, ignore_errors=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


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


def _is_replaceable(target: Path) -> bool:
    return (target / "edgeconv.json").is_file() or (target / "openvino_model.xml").is_file()


def _existing_parent(target: Path) -> Path:
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


def _explain(error: OSError, folder: Path) -> OutputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"The disk of {folder} is full.", "Free some space, or choose an --output on another disk.")
    return OutputError(f"{folder} cannot be written to: {error.strerror}.", "Choose an --output in a folder of yours.")

"""Crash-safe output: everything is written beside the target, and one rename makes it visible; of single files one each.

A run that dies leaves at most a folder `OUT.partial-…`, which the next run to the same output removes. The manifest is written
last, so a folder or file without it is not an artefact.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError
from .manifest import MANIFEST_NAME, sidecar


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
    for path in [*(target.with_name(name) for name in names), manifest]:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OutputError(f"{path} exists and is not a file.", "Choose another --output.")
        if path.exists() and not force:
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
def _staged(target: Path, publish: Callable[[Path, Path], None]) -> Iterator[Path]:
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
        publish(folder, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise _explain(error, target.parent) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish_files(folder: Path, target: Path) -> None:
    """Put the new files in place one by one, the manifest last."""
    manifest = sidecar(target)
    manifest.unlink(missing_ok=True)
    names = [path.name for path in folder.iterdir() if path.name != ".pid"]
    for name in sorted(names, key=lambda name: (name == manifest.name, name)):
        (folder / name).replace(target.with_name(name))
    _sync_folder(target.parent)


def _publish(folder: Path, target: Path) -> None:
    """Put the new folder in place; an old one steps aside first and is removed last."""
    (folder / ".pid").unlink()
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


def _explain(error: OSError, folder: Path) -> OutputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"The disk of {folder} is full.", "Free some space, or choose an --output on another disk.")
    return OutputError(f"{folder} cannot be written to: {error.strerror}.", "Choose an --output in a folder of yours.")

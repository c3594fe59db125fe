"""Crash-safe output: everything is written beside the target, and one rename makes it visible; of single files one each.

A run that dies leaves at most a folder `OUT.partial-…`, which the next run to the same output removes; beside one that lives,
a second run to its output is refused. The manifest is written last, so a folder or file without it is not an artefact.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from . import in_place
from .errors import OutputError
from .in_place import sync
from .lifetime import undisturbed
from .manifest import MANIFEST_NAME, sidecar
from .paths import is_text
from .scratch import scratch, sweep

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a file system answers when it takes no more, for three reasons that have nothing in common but that."""
_FAT_LIMIT = (1 << 32) - 1
"""Bytes of the largest file that FAT32 holds."""
_NEARLY_FULL = 1 << 16
"""Bytes free, below which an error that is no OSError (C++ has its own) is put down to the disk."""


def check_output(target: Path, *, force: bool) -> None:
    """Refuse an output that exists, unless `force`; a folder that is no artefact of ours is never replaced silently.

    Raises:
        OutputError: the target exists, or its parent cannot be written to.
    """
    _require_text(target)
    target = _real(target)
    if target.is_symlink():
        raise OutputError(f"{target} is a link to nothing that is a folder.", "Choose another --output.")
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} exists and is not a folder.", "Choose another --output.")
    if target.is_mount():
        raise OutputError(f"{target} is where a disk is mounted; it cannot be replaced.", "Name a folder inside it.")
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
    _require_text(target)
    manifest = sidecar(target)
    force_over = {target.with_name(name) for name in in_place.half_published(target)}
    for path in [*(target.with_name(name) for name in names), manifest]:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OutputError(f"{path} exists and is not a file.", "Choose another --output.")
        if path.exists() and not force and path not in force_over:
            raise OutputError(f"{path} exists.", "Repeat with --force to replace it, or choose another --output.")
        if path.exists() and path != manifest and not in_place.is_gguf(path):
            raise OutputError(
                f"{path} is not a GGUF file; --force replaces only converted models.", "Choose another --output."
            )
    _require_writable(target)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a folder beside `target`; on success it replaces `target`, on any error it is removed.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    with _staged(target, in_place.folder) as folder:
        yield folder


@contextmanager
def staged_files(target: Path) -> Iterator[Path]:
    """Give a folder beside `target`; on success each of its files replaces the one of its name beside `target`.

    The manifest comes last, and an old one goes first: files that lie beside a manifest belong to it.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    with _staged(target, in_place.files) as folder:
        yield folder


@contextmanager
def _staged(target: Path, publish: Callable[[Path, Path, bool], None]) -> Iterator[Path]:
    target = _real(target.absolute())
    parent = target.parent
    with ExitStack() as stack:
        try:
            before, folder = _begin(target, stack)
        except OSError as error:
            raise _explain(error, parent) from error
        try:
            yield folder
            sync(folder)
            with undisturbed():
                publish(folder, target, before)
        except OSError as error:
            if error.errno in (*_FULL, errno.EROFS, errno.EACCES):
                raise _explain(error, parent) from error
            raise
        except OutputError:
            raise
        except Exception as error:
            reason = _silent_reason(parent, folder)
            if reason:
                raise _explain(OSError(reason, str(error)), parent) from error
            raise


def _begin(target: Path, stack: ExitStack) -> tuple[bool, Path]:
    """Return whether an artefact is there already, and a folder to write the new one into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    rescue = partial(in_place.rescue, target)
    if sweep(target.parent, in_place.prefix(target), rescue):
        raise OutputError(f"Another run is writing {target} now.", "Wait for it, or choose another --output.")
    folder = stack.enter_context(scratch(target.parent, in_place.prefix(target), rescue))
    folder.chmod(0o755)
    return _is_taken(target), folder


def _is_taken(target: Path) -> bool:
    """Whether an artefact lies there: a folder with something in it, or single files with their manifest."""
    return sidecar(target).exists() or (target.is_dir() and any(target.iterdir()))


def _real(target: Path) -> Path:
    """Return the folder that a link means: another disk, often."""
    return Path(os.path.realpath(target)) if target.is_symlink() and target.is_dir() else target


def _require_text(target: Path) -> None:
    if not is_text(target):
        raise OutputError(f"The path {target} is no UTF-8 text.", "Choose another --output.")


def _require_writable(target: Path) -> None:
    parent = _existing_parent(target)
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent} cannot be written to.", "Choose an --output in a folder of yours.")


def _is_replaceable(target: Path) -> bool:
    return (target / MANIFEST_NAME).is_file() or (target / "openvino_model.xml").is_file()


def _existing_parent(target: Path) -> Path:
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


def _silent_reason(parent: Path, folder: Path) -> int | None:
    """Tell from what is on the disk why a library that has no errno to say may have failed; None: for no reason of the disk's."""
    try:
        largest = max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
        if shutil.disk_usage(parent).free < _NEARLY_FULL:
            return errno.ENOSPC
    except OSError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return errno.EFBIG if largest == _FAT_LIMIT or 0 <= limit <= largest else None


def _explain(error: OSError, folder: Path) -> OutputError:
    if error.errno == errno.EFBIG:
        return OutputError(
            f"A file grew larger than the file system of {folder}, or `ulimit -f`, lets one be.",
            "Choose an --output on another disk (FAT32 ends at 4 GiB), or raise the limit.",
        )
    if error.errno == errno.EDQUOT:
        return OutputError(
            f"Your quota on the file system of {folder} is used up.",
            "Free some space of yours, or choose an --output on another disk.",
        )
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

"""Crash-safe output: everything is written beside the target, and one rename makes it visible; of single files one each.

A run that dies leaves at most a folder `OUT.partial-…` with our marker in it, which the next run to the same output removes;
beside one that lives, a second run to its output is refused. The manifest is written last, so a folder or file without it is
no artifact. Of an old one only the files are replaced that its manifest names: whatever else is there is the user's, and stays.
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

from . import in_place, lease
from .durable import sync_all
from .errors import OutputError
from .lifetime import undisturbed
from .manifest import log_path, sidecar
from .paths import is_text
from .progress import Progress
from .scratch import holder, scratch, sweep

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a file system answers when it takes no more, for three reasons that have nothing in common but that."""
_FAT_LIMIT = (1 << 32) - 1
"""Bytes of the largest file that FAT32 holds."""
_NEARLY_FULL = 1 << 16
"""Bytes free, below which an error that is not an OSError (C++ has its own) is put down to the disk."""


def check_output(target: Path, *, force: bool) -> None:
    """Refuse an output that exists, unless `force`; a folder that is not an artifact of ours is never replaced.

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
    if target.is_dir() and any(target.iterdir()) and not in_place.is_artifact(target):
        raise OutputError(
            f"{target} holds files that no conversion wrote; --force replaces only converted models.",
            "Choose another --output.",
        )
    _require_writable(target)


def check_files(target: Path, names: Iterable[str], *, force: bool) -> None:
    """Refuse single files that exist beside `target`, unless `force`; what the manifest there does not name is never replaced.

    Args:
        target: the file that was asked for.
        names: of all files that will be written beside it, its manifest and log excepted.
        force: replace what is there.

    Raises:
        OutputError: a file exists, or the folder cannot be written to.
    """
    _require_text(target)
    manifest = sidecar(target)
    log = log_path(manifest)
    half, ours = in_place.half_published(target), in_place.files_of(target)
    for path in [*(target.with_name(name) for name in names), manifest, log]:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OutputError(f"{path} exists and is not a file.", "Choose another --output.")
        if not path.exists() or path.name in half:
            continue
        if not force and path != log:
            raise OutputError(f"{path} exists.", "Repeat with --force to replace it, or choose another --output.")
        if path.name not in ours:
            raise OutputError(
                f"{path} exists, and no conversion wrote it; --force replaces only converted models.",
                f"Choose another --output. A converted model's files are those that its {manifest.name} names.",
            )
    _require_writable(target)


@contextmanager
def staged(target: Path, *, force: bool = False, progress: Progress | None = None) -> Iterator[Path]:
    """Give a folder that will be `target` on success; on any error it is removed.

    Args:
        target: the name; what `check_output` let pass is replaced.
        force: replace also an artifact that a run before this one had moved aside when it died.
        progress: reports if the file system cannot promise that files are on the disk.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    with _staged(target, in_place.folder, force, progress) as folder:
        yield folder


@contextmanager
def staged_files(target: Path, *, force: bool = False, progress: Progress | None = None) -> Iterator[Path]:
    """Give a folder; on success each of its files replaces the one of its name beside `target`.

    The manifest comes last, and an old one goes first: files that lie beside a manifest belong to it.
    Arguments and errors are those of `staged`.
    """
    with _staged(target, in_place.files, force, progress) as folder:
        yield folder


@contextmanager
def _staged(
    target: Path, publish: Callable[[Path, Path, bool], None], force: bool, progress: Progress | None
) -> Iterator[Path]:
    target = _real(_absolute(target))
    parent = target.parent
    with ExitStack() as stack:
        try:
            before, place = _begin(target, stack, force)
            folder = place / in_place.NEW
            folder.mkdir()
        except OSError as error:
            raise _explain(error, parent) from error
        try:
            yield folder
            sync_all(folder, progress)
            _require_held(place, target)
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


def _begin(target: Path, stack: ExitStack, force: bool) -> tuple[bool, Path]:
    """Return whether an artifact is there already, and a scratch folder to write the new one into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    rescue = partial(in_place.rescue, target)
    taken = _is_taken(target)
    living = sweep(target.parent, in_place.prefix(target), rescue)
    if living:
        raise OutputError(
            f"Another run is writing {target} now: {holder(living[0])}.", "Wait for it, or choose another --output."
        )
    if _is_taken(target) and not taken and not force:
        raise OutputError(
            f"A run that died had moved {target} aside; it is back in its place.",
            "Repeat with --force to replace it, or choose another --output.",
        )
    place = stack.enter_context(scratch(target.parent, in_place.prefix(target), rescue))
    return _is_taken(target), place


def _require_held(place: Path, target: Path) -> None:
    """Refuse to publish from a folder that another run took for a dead one's (this process was stopped for a long time)."""
    if lease.read(place) is None:
        raise OutputError(
            f"Another run to {target} has removed this one's folder: nobody saw a sign of life for {lease.SILENT:.0f} s.",
            "Let only one of them run.",
        )


def _absolute(target: Path) -> Path:
    try:
        return target.absolute()
    except FileNotFoundError as error:
        raise OutputError("The folder that you stand in has been removed.", "Change to one that is there.") from error


def _is_taken(target: Path) -> bool:
    """Whether an artifact lies there: a folder with something in it, or single files with their manifest."""
    return sidecar(target).exists() or (target.is_dir() and any(target.iterdir()))


def _real(target: Path) -> Path:
    """Return the folder that a link means: another disk, often."""
    return Path(os.path.realpath(target)) if target.is_symlink() and target.is_dir() else target


def _require_text(target: Path) -> None:
    if not is_text(target):
        raise OutputError(f"The path {target} is not UTF-8 text.", "Choose another --output.")


def _require_writable(target: Path) -> None:
    parent = _existing_parent(target)
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent} cannot be written to.", "Choose an --output in a folder of yours.")


def _existing_parent(target: Path) -> Path:
    parent = _absolute(target).parent
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

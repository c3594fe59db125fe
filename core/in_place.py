"""How a staged result gets its name: a folder in one step, single files one by one with the manifest last.

A scratch folder holds the result as `new`, and what was there before as `old` once that has left its place. From the first step
to the last a journal in it says what belongs where, so that after a kill the next run ends or undoes what was begun (`rescue`).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from .durable import sync, sync_open
from .errors import ArtifactError, OutputError
from .foreign import carry, named, obstacles, owned
from .manifest import log_path, read_manifest, sidecar
from .own_text import is_log
from .scratch import JOURNAL, left_behind

NEW, OLD = "new", "old"
_TAG = ".edgeconv-new"
"""File in a new folder while it changes places with an old one: so the two are told apart, whatever their names are by then."""
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux's <linux/fs.h> and <fcntl.h>."""


def prefix(target: Path) -> str:
    """Return how the names of a target's staging folders begin."""
    return f"{target.name}.partial-"


def folder(staged: Path, target: Path, before: bool) -> None:
    """Put the new folder in place; where there is an old one the two change places at once, and what is not ours moves over.

    Args:
        staged: the new one, in a scratch folder.
        target: the name.
        before: whether something lay there when the run began.

    Raises:
        OutputError: something was put there meanwhile, or is in the way; it stays as it is.
    """
    if before and target.exists():
        _swap(staged, target)
    else:
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise _appeared(target) from error
            raise
    sync(target.parent)


def _swap(staged: Path, target: Path) -> None:
    ours = owned(target) or set()
    require_no_obstacles(target, ours, staged)
    journal = staged.parent / JOURNAL
    (staged / _TAG).touch()
    _write(journal, {"folder": sorted(ours)})
    try:
        if not _exchange(staged, target):
            _replace(staged, target)
    except BaseException:
        if not (staged.parent / OLD).exists():  # else it could not be put back, and `rescue` does it
            journal.unlink()
        raise
    _settle(staged.parent, target, set(ours))
    sync(target)


def require_no_obstacles(target: Path, ours: set[str], new: Path) -> None:
    """Refuse if something of the user's is where a new file goes. Raises OutputError."""
    found = obstacles(target, ours, new)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise OutputError(
            f"{target} holds files that no conversion wrote, and that are in the way: {', '.join(found[:3])}{more}.",
            "Move them away, or choose another --output.",
        )


def _exchange(staged: Path, target: Path) -> bool:
    """Let two folders change names in one step; False where the system cannot (`man 2 renameat2`)."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return int(call(_HERE, os.fsencode(staged), _HERE, os.fsencode(target), _EXCHANGE)) == 0


def _replace(staged: Path, target: Path) -> None:
    """The same in two steps: `rescue` mends what a kill between them leaves."""
    old = staged.parent / OLD
    target.rename(old)
    try:
        staged.rename(target)
    except BaseException:
        old.rename(target)
        raise


def _settle(place: Path, target: Path, ours: set[str]) -> None:
    """Give the user's files their place in the folder that is there now; without them the old one may be removed."""
    old = place / OLD if (place / OLD).is_dir() else place / NEW
    if old.is_dir() and not (old / _TAG).exists():
        if target.exists():
            _carry(old, target, ours)
        else:
            old.rename(target)  # of two steps only the first was done, or somebody has removed the new one
    (target / _TAG).unlink(missing_ok=True)
    (place / JOURNAL).unlink()


def _carry(old: Path, target: Path, ours: set[str]) -> None:
    try:
        carry(old, ours, target)
    except OSError as error:
        raise OutputError(
            f"{target} is replaced; what no conversion wrote is still in {old}: {error.filename}: {error.strerror}.",
            f"Move what you need from {old} to {target}, then remove {old.parent}.",
        ) from error


def _identity(path: Path) -> list[int]:
    """Return what of a file stays as it is when it is renamed, and differs from any other's."""
    status = path.lstat()
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _appeared(target: Path) -> OutputError:
    return OutputError(
        f"Another run wrote {target} meanwhile; it stays as it is.", "Look at it; --force replaces it with a new run."
    )


def files(staged: Path, target: Path, before: bool) -> None:
    """Put the new files in place one by one, the manifest last; the files of the old artifact, and only they, go first.

    Arguments and errors are those of `folder`.
    """
    manifest, place = sidecar(target), staged.parent
    if manifest.exists() and not before:
        raise _appeared(target)
    names = sorted((path.name for path in staged.iterdir()), key=lambda name: (name == manifest.name, name))
    ours = files_of(target)
    taken = [name for name in names if name not in ours and os.path.lexists(target.with_name(name))]
    if taken:
        raise OutputError(
            f"{target.with_name(taken[0])} exists, and no conversion wrote it.", "Choose another --output."
        )
    (place / OLD).mkdir()
    present = sorted(name for name in ours if target.with_name(name).is_file())
    journal = {"files": {name: _identity(staged / name) for name in names}, "manifest": manifest.name}
    _write(place / JOURNAL, journal)
    try:
        for name in sorted(present, key=lambda name: (name != manifest.name, name)):
            target.with_name(name).rename(place / OLD / name)
        for name in names:
            (staged / name).rename(target.with_name(name))
    except BaseException:
        _undo_files(place, target, journal)
        raise
    (place / JOURNAL).unlink()
    sync(target.parent)


def files_of(target: Path) -> set[str]:
    """Name the files beside a single file that belong to the artifact there: by its manifest, itself and the log included."""
    manifest = sidecar(target)
    log = log_path(manifest)
    left = {log.name} if log.is_file() and is_log(log) else set()  # of one that was removed: nobody's
    try:
        outputs = named(read_manifest(manifest)) if manifest.is_file() else None
    except ArtifactError:
        return left
    if outputs is None:
        return left
    return {name for name in outputs if "/" not in name} | {manifest.name, log.name}


def half_published(target: Path) -> set[str]:
    """Name the files that a run which died between two renames had put in place: without a manifest they are nobody's."""
    if sidecar(target).exists():
        return set()
    found = set()
    for orphan in left_behind(target.parent, prefix(target)):
        if (orphan / JOURNAL).is_file():
            found |= set(_put_in_place(orphan, target, _read(orphan / JOURNAL)))
    return found


def rescue(target: Path, orphan: Path) -> None:
    """End or undo what a run had begun when it died.

    Raises:
        OSError: a file cannot be moved; it is where it was, and the scratch folder stays.
    """
    if not (orphan / JOURNAL).is_file():
        return
    journal = _read(orphan / JOURNAL)
    if "folder" in journal:
        _settle(orphan, target, set(journal["folder"]))
    elif "files" in journal:
        _undo_files(orphan, target, journal)


def _undo_files(orphan: Path, target: Path, journal: dict[str, Any]) -> None:
    """Take back what a run had put in place, unless it had come to its manifest, and put back what it had moved aside."""
    if (orphan / NEW / journal["manifest"]).exists():
        for name in _put_in_place(orphan, target, journal):
            target.with_name(name).rename(orphan / NEW / name)
        aside = sorted(path.name for path in (orphan / OLD).iterdir()) if (orphan / OLD).is_dir() else []
        for name in sorted(aside, key=lambda name: (name == journal["manifest"], name)):
            if not os.path.lexists(target.with_name(name)):
                (orphan / OLD / name).rename(target.with_name(name))
    (orphan / JOURNAL).unlink()


def _put_in_place(orphan: Path, target: Path, journal: dict[str, Any]) -> list[str]:
    """Name the files beside the target that are the very ones which a run made; what has their names since then is not."""
    found = []
    for name, identity in journal.get("files", {}).items():
        with suppress(FileNotFoundError):  # it is still in the scratch folder, or somebody has removed it
            if not (orphan / NEW / name).exists() and _identity(target.with_name(name)) == identity:
                found.append(name)
    return found


def _write(journal: Path, content: dict[str, Any]) -> None:
    """Write it whole or not at all, and have the disk hold it before anything moves."""
    partial = journal.with_name(f"{journal.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        sync_open(file.fileno(), partial)
    partial.rename(journal)
    sync(journal.parent)


def _read(journal: Path) -> dict[str, Any]:
    """Read what `_write` wrote. Raises OSError; OutputError if somebody else has changed it."""
    try:
        content = json.loads(journal.read_text("utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise OutputError(
            f"{journal} is damaged: nobody knows what of {journal.parent} belongs to whom.",
            "Move out of that folder what you need, then remove it.",
        )
    return content


def is_artifact(target: Path) -> bool:
    """Whether a folder has a manifest that can be read."""
    return owned(target) is not None

"""What in a converted model's folder is ours, by its manifest, and what becomes of the rest when the model is replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import ArtifactError
from .manifest import LOG_NAME, MANIFEST_NAME, Manifest, read_manifest
from .own_text import is_own
from .paths import is_inner

_REPORTS = ("parity/parity.json", "parity/parity.md", "parity/parity.html", "parity/parity.xml")
"""Where reports on a folder lie; which of them are ours is seen by what stands in them."""


def owned(folder: Path) -> set[str] | None:
    """Name the files in a folder that a conversion, or a validation of it, wrote: relative, as in the manifest.

    None if no manifest says which they are.
    """
    try:
        manifest = read_manifest(folder)
    except (ArtifactError, OSError):
        return None
    reports = {name for name in _REPORTS if _is_report(folder / name)}
    return {MANIFEST_NAME, LOG_NAME} | named(manifest) | reports


def named(manifest: Manifest) -> set[str]:
    """Name a manifest's files, those left out whose names lead out of its folder."""
    paths = [PurePosixPath(name) for name in manifest.outputs if is_inner(name)]
    return {path.as_posix() for path in paths if path.parts}


def _is_report(path: Path) -> bool:
    try:
        return not path.parent.is_symlink() and is_own(path)
    except OSError:
        return False


@dataclass(frozen=True)
class Entry:
    """Something of the user's in a folder: a file, a link, or a whole folder in which nothing is ours."""

    name: str
    path: Path


def entries(folder: Path, ours: set[str], beside: Path, prefix: str = "") -> Iterator[Entry]:
    """Give what is not ours, in pieces as large as can be moved to `beside` at once.

    Args:
        folder: the artifact's, or one in it.
        ours: names, relative to the artifact's folder.
        beside: what it will be moved to; may have folders of the same names.
        prefix: name of `folder` in the artifact, with a slash behind it; empty for its own.
    """
    for path in sorted(folder.iterdir()):
        name = prefix + path.name
        if path.is_dir() and not path.is_symlink():
            there = beside / path.name
            shared = any(one.startswith(f"{name}/") for one in ours)
            if shared or (there.is_dir() and not there.is_symlink()):
                yield from entries(path, ours, there, f"{name}/")
            else:
                yield Entry(name, path)
        elif name not in ours:
            yield Entry(name, path)


def obstacles(folder: Path, ours: set[str], new: Path) -> list[str]:
    """Name what is not ours and has no place beside new files: one of its name is there, or it cannot be moved."""
    found = []
    for entry in entries(folder, ours, new):
        taken = os.path.lexists(new / entry.name) or any(
            os.path.lexists(path) and not path.is_dir() for path in _above(new, entry.name)
        )
        if taken or not _can_be_moved(entry.path):
            found.append(entry.name)
    return found


def carry(folder: Path, ours: set[str], target: Path) -> None:
    """Move what is not ours to its place in another folder; where one of its name has appeared, under a name beside it.

    Raises:
        OSError: something cannot be moved; it is where it was.
    """
    for entry in list(entries(folder, ours, target)):
        place = target / entry.name
        _make_parents(entry.path.parent, folder, target)
        if os.path.lexists(place):
            place = _free(place)
        entry.path.rename(place)


def _above(folder: Path, name: str) -> Iterable[Path]:
    return (folder / parent for parent in list(PurePosixPath(name).parents)[:-1])


def _can_be_moved(path: Path) -> bool:
    """A folder that changes its parent is written to itself, and one that a disk is mounted on stays where it is."""
    if not os.access(path.parent, os.W_OK):
        return False
    return path.is_symlink() or not path.is_dir() or (os.access(path, os.W_OK) and not path.is_mount())


def _make_parents(source: Path, root: Path, target: Path) -> None:
    """Make a folder of the user's again where the new artifact has none, with its mode and times."""
    for inner in reversed([source, *source.parents]):
        if root in inner.parents:
            made = target / inner.relative_to(root)
            if not made.is_dir():
                made.mkdir()
                shutil.copystat(inner, made)


def _free(place: Path) -> Path:
    number = 1
    while os.path.lexists(kept := place.with_name(f"{place.name}.kept-{number}")):
        number += 1
    return kept

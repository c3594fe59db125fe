"""What a path's name says: whether it is text, as the libraries underneath need it, and what the model in a folder is called.

And which file is meant by a name that stands in a file: `own_file`, for recipes, suites, manifests, indexes and graphs alike.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path, PurePosixPath

from .errors import EdgeconvError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CACHED = re.compile(r"models--(?:.+--)?(?P<name>.+)")


_PIECE = re.compile(r"(?<=\.gguf)[._-]((part|split|chunk)[._-]?\w{1,12}|\d{1,3})$", re.IGNORECASE)
"""How the pieces of a file are named that was cut by split and the like."""


def is_text(path: Path) -> bool:
    """Whether the whole path, as it would be opened, is UTF-8."""
    try:
        os.path.abspath(path).encode()  # noqa: PTH100 - links are not followed
    except UnicodeEncodeError:
        return False
    return True


def model_name(folder: Path) -> str:
    """Return a folder's name; of a snapshot in the Hub's cache, whose name is a commit, that of the repository."""
    folder = folder.resolve()
    cached = _CACHED.fullmatch(folder.parent.parent.name)
    if cached and folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
        return cached["name"]
    return folder.name


def join_hint(path: Path) -> str | None:
    """Return what to do with a piece of a GGUF that was cut for its size, by its name; None for another file."""
    found = _PIECE.search(path.name)
    if found is None:
        return None
    whole = path.name[: found.start()]
    return f"By its name it is a piece of {whole}: join all pieces in their order (cat {whole}.* > {whole})."


def is_inner(name: object) -> bool:
    """Whether a name that stands in a file is a relative path without `..`, in the form of POSIX."""
    if not isinstance(name, str) or not name or any(c in name for c in "\\\0\n"):
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def own_file(
    root: Path,
    name: object,
    error: type[EdgeconvError],
    *,
    whose: str,
    hint: str | None = None,
    linked: bool = False,
    absolute: bool = False,
) -> Path:
    """Return the regular file that a name in a stranger's file means: one in the folder `root`, links resolved.

    Args:
        root: the folder that the name is relative to, and that it may not leave.
        name: as it stands in the file.
        error: raised for a name that means no file there.
        whose: the file that the name stands in, perhaps with the place in it, as messages call it.
        hint: what to do about it.
        linked: the file itself may be a link to elsewhere (weights, which are kept on other disks); folders may not.
        absolute: an absolute name is taken too, if it leads into `root`.

    Raises:
        `error`: the name is not a relative path, leads out of the folder (by `..` or by a link; the Hub's cache, where files
            are links to blobs, counts as the folder), or what is there is no regular file.
    """

    def refuse(why: str) -> EdgeconvError:
        return error(
            f"{whose} names {name!r:.200}, {why}.", hint or "Put the file into the folder, or do not use what names it."
        )

    if not isinstance(name, str) or not (is_inner(name) or (absolute and is_inner(name.lstrip("/")))):
        raise refuse(f"which lies outside the folder {root}")
    home, path = root.resolve(), root / name
    try:
        target = path.parent.resolve() / path.name if linked else path.resolve()
        inside = target.is_relative_to(home) or target.is_relative_to(_blobs(home))
        if not inside:
            raise refuse(f"which leads outside the folder {root}")
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise refuse("which is not there") from None
    except (OSError, RuntimeError) as fault:  # a loop of links is a RuntimeError of pathlib's
        raise refuse(f"which cannot be read ({getattr(fault, 'strerror', None) or 'a loop of links'})") from fault
    if not stat.S_ISREG(mode):
        raise refuse("which is not a regular file")
    return path


def own_links(root: Path, error: type[EdgeconvError], *, what: str) -> None:
    """Refuse a link out of a folder, which is `what`, to a file of another name: small files are copied, and published.

    Links into the Hub's cache, to weights, and folders in which single files of another one are linked, are common.

    Raises:
        `error`: there is one.
    """
    home = root.resolve()
    for path in sorted(path for pattern in ("*", "additional_chat_templates/*") for path in root.glob(pattern)):
        if not path.is_symlink() or path.suffix in _WEIGHTS:
            continue
        target = Path(os.path.realpath(path))
        if target.name != path.name and not {home, _blobs(home)} & set(target.parents):
            raise error(
                f"{path.relative_to(root)} is a link to {target}, which is not a file of {what}.",
                "Nothing of it was read. If you mean that file, copy it into the folder.",
            )


_WEIGHTS = (".safetensors", ".bin", ".gguf", ".data")


def _blobs(home: Path) -> Path:
    """Return where the Hub's cache keeps the files of a snapshot; for another folder a place inside of it."""
    return home.parent.parent / "blobs" if home.parent.name == "snapshots" else home

"""The reference is computed once: its final hidden states are kept, a few dozen times smaller than its logits.

A key is the digest of everything that shapes them: weights, config, token ids, dtype, how attention is computed, versions of
edgeconv, torch and transformers. What was damaged or altered since it was kept does not fit its own digest, and counts as absent.
The cache lies in `$EDGECONV_CACHE`, else `~/.cache/edgeconv`; `edgeconv cache ls` and `clear` show and empty it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.openvino.data_aware import STATISTICS
from ..core.cache_folder import cache_folder
from ..core.digest import sha256_file
from ..core.progress import Progress
from ..core.scratch import scratch, sweep
from .kept import VERSIONS, digest

Array = npt.NDArray[Any]
_PARTIAL = ".partial-"


def folder() -> Path:
    """Where the cache lies."""
    return cache_folder()


def key(weights: str, documents: Sequence[Sequence[int]], dtype: str, attention: str) -> str:
    """Name what `LayeredReference.hidden_states` would compute."""
    content = {
        "weights": weights,
        "documents": [list(map(int, ids)) for ids in documents],
        "dtype": dtype,
        "attention": attention,
        "versions": {name: version(name) for name in VERSIONS},
    }
    return digest(content)[:32]


def get(name: str) -> tuple[list[Array], list[float]] | None:
    """Return the hidden states kept under a key, and the layers' peaks; None if they are not there as they were kept."""
    place = folder() / "reference" / name
    sweep(place.parent, _PARTIAL)  # of a run that was killed between keeping something and its own sweeping
    try:
        meta = json.loads((place / "meta.json").read_text("utf-8"))
        states = [np.load(place / f"{i}.npy", allow_pickle=False) for i in range(meta["documents"])]
        sound = meta["sha256"] == _seal(states, meta["peaks"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):  # absent, cut short, or of another edgeconv
        return None
    return (states, meta["peaks"]) if sound else None


def _seal(states: Sequence[Array], peaks: Sequence[float]) -> str:
    sum_ = hashlib.sha256(json.dumps([[list(made.shape), str(made.dtype)] for made in states]).encode())
    sum_.update(json.dumps(list(peaks)).encode())
    for made in states:
        sum_.update(np.ascontiguousarray(made).data)
    return sum_.hexdigest()


def put(name: str, states: Sequence[Array], peaks: Sequence[float], description: str, progress: Progress) -> None:
    """Keep hidden states, and the layers' peaks; all of them appear at once, or none.

    A cache that cannot be written to costs time, nothing else.
    """
    try:
        _put(name, states, peaks, description)
    except OSError as error:
        progress.note(f"The reference's results are not kept for the next run: {folder()}: {error.strerror}.")


def _put(name: str, states: Sequence[Array], peaks: Sequence[float], description: str) -> None:
    root = folder() / "reference"
    root.mkdir(parents=True, exist_ok=True)
    with scratch(root, _PARTIAL) as place:
        staging = place / name
        staging.mkdir()
        for i, made in enumerate(states):
            np.save(staging / f"{i}.npy", made)
        meta = {
            "documents": len(states),
            "description": description,
            "tokens": sum(map(len, states)),
            "peaks": list(peaks),
            "sha256": _seal(states, peaks),
        }
        (staging / "meta.json").write_text(json.dumps(meta))
        if (root / name).exists():  # damaged, else `get` had found it; or another process has just kept the same
            (root / name).rename(place / "replaced")
        staging.rename(root / name)


@dataclass(frozen=True)
class Entry:
    """One kept pass."""

    key: str
    description: str
    tokens: int
    size: int


def entries() -> list[Entry]:
    """List what is kept."""
    found = []
    for place in sorted((folder() / "reference").glob("*/meta.json")):
        try:
            meta = json.loads(place.read_text())
        except ValueError:
            meta = {}
        size = sum(p.stat().st_size for p in place.parent.iterdir())
        found.append(Entry(place.parent.name, meta.get("description", "damaged"), meta.get("tokens", 0), size))
    return found


def clear() -> int:
    """Remove everything; returns the bytes freed."""
    freed = sum(p.stat().st_size for p in folder().rglob("*") if p.is_file()) if folder().is_dir() else 0
    for name in (
        "reference",
        "native",
        "float32",
        "figures",
        STATISTICS,
    ):  # some are left by runs that were interrupted
        shutil.rmtree(folder() / name, ignore_errors=True)
    (folder() / "digests.json").unlink(missing_ok=True)
    return freed


def file_digest(path: Path, progress: Progress) -> str:
    """SHA-256 of a large file, remembered by size, inode and times; the time of its last change cannot be set back."""
    stat = path.stat()
    stamp = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
    book = folder() / "digests.json"
    sweep(book.parent, _PARTIAL)
    known: dict[str, str] = json.loads(book.read_text()) if book.is_file() else {}
    if stamp not in known:
        task = progress.task(f"Hashing {path.name}", stat.st_size)
        known[stamp] = sha256_file(path, task)
        task.finish()
        try:
            book.parent.mkdir(parents=True, exist_ok=True)
            with scratch(book.parent, _PARTIAL) as place:
                (place / book.name).write_text(json.dumps(known))
                (place / book.name).replace(book)
        except OSError as error:
            progress.note(f"The digest of {path.name} is not kept for the next run: {folder()}: {error.strerror}.")
    return known[stamp]

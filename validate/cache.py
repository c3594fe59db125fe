"""The reference is computed once: its final hidden states are kept, a few dozen times smaller than its logits.

A key is the digest of everything that shapes them: weights, config, token ids, dtype, versions of torch and transformers.
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

Array = npt.NDArray[Any]
_PARTIAL = ".partial-"


def folder() -> Path:
    """Where the cache lies."""
    return cache_folder()


def key(weights: str, documents: Sequence[Sequence[int]], dtype: str) -> str:
    """Name what `LayeredReference.hidden_states` would compute."""
    content = {
        "weights": weights,
        "documents": [list(map(int, ids)) for ids in documents],
        "dtype": dtype,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def get(name: str) -> list[Array] | None:
    """Return the hidden states kept under a key, or None."""
    place = folder() / "reference" / name
    sweep(place.parent, _PARTIAL)  # of a run that was killed between keeping something and its own sweeping
    if not (place / "meta.json").is_file():
        return None
    count = json.loads((place / "meta.json").read_text())["documents"]
    return [np.load(place / f"{i}.npy") for i in range(count)]


def put(name: str, states: Sequence[Array], description: str, progress: Progress) -> None:
    """Keep hidden states; all of them appear at once, or none. A cache that cannot be written to costs time, nothing else."""
    try:
        _put(name, states, description)
    except OSError as error:
        progress.note(f"The reference's results are not kept for the next run: {folder()}: {error.strerror}.")


def _put(name: str, states: Sequence[Array], description: str) -> None:
    root = folder() / "reference"
    root.mkdir(parents=True, exist_ok=True)
    with scratch(root, _PARTIAL) as place:
        staging = place / name
        staging.mkdir()
        for i, made in enumerate(states):
            np.save(staging / f"{i}.npy", made)
        meta = {"documents": len(states), "description": description, "tokens": sum(map(len, states))}
        (staging / "meta.json").write_text(json.dumps(meta))
        if not (root / name).exists():
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
        meta = json.loads(place.read_text())
        size = sum(p.stat().st_size for p in place.parent.iterdir())
        found.append(Entry(place.parent.name, meta["description"], meta["tokens"], size))
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
    """SHA-256 of a large file, remembered by size, modification time and inode."""
    stat = path.stat()
    stamp = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
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

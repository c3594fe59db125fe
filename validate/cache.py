"""The reference is computed once: its final hidden states are kept, a few dozen times smaller than its logits.

A key is the digest of everything that shapes them: weights, config, token ids, dtype, how attention is computed, versions of
edgeconv, torch and transformers. What was damaged or altered since it was kept does not fit its own digest, and counts as absent.
The cache lies in `$EDGECONV_CACHE`, else `~/.cache/edgeconv`; `edgeconv cache ls` and `clear` show and empty it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.cache_folder import cache_folder, open_part, part
from ..core.kept import PARTIAL, VERSIONS, damaged, digest
from ..core.progress import Progress
from ..core.scratch import scratch, sweep

Array = npt.NDArray[Any]
_REFERENCE, _DIGESTS = "reference", "digests"


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


def get(name: str, progress: Progress) -> tuple[list[Array], list[float]] | None:
    """Return the hidden states kept under a key, and the layers' peaks; None if they are not there as they were kept."""
    place = part(_REFERENCE) / name
    sweep(place.parent, PARTIAL)  # of a run that was killed between keeping something and its own sweeping
    try:
        meta = json.loads((place / "meta.json").read_text("utf-8"))
        states = [np.load(place / f"{i}.npy", allow_pickle=False) for i in range(meta["documents"])]
        sound = meta["sha256"] == _seal(states, meta["peaks"])
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        RecursionError,
    ):  # absent, cut short, or of another edgeconv
        sound = False
    if not sound:
        if place.exists():
            progress.note(damaged(place))
        return None
    return states, meta["peaks"]


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
    root = open_part(_REFERENCE)
    with scratch(root, PARTIAL) as place:
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
    for place in sorted(path for path in part(_REFERENCE).glob("[!.]*") if path.is_dir()):
        size = sum(p.stat().st_size for p in place.iterdir())
        try:
            meta = json.loads((place / "meta.json").read_text("utf-8"))
            found.append(Entry(place.name, str(meta["description"]), int(meta["tokens"]), size))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            found.append(Entry(place.name, "damaged", 0, size))
    return found

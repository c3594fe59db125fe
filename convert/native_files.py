"""Folders of small files in transformers' form, made once from a checkpoint in another form and kept in the cache.

Whatever reads a checkpoint's folder (transformers, openvino_tokenizers, the GGUF writer, the validator) then reads them as it
reads any other's.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..core.cache_folder import open_part
from ..core.scratch import scratch, sweep
from ..core.sealed import is_sound, seal


def obtain(made_of: Any, make: Callable[[Path], None]) -> Path:
    """Return the folder, from the cache or freshly made.

    Args:
        made_of: all that decides on the content, versions of the libraries excepted; JSON-ready.
        make: writes the files into an empty folder.
    """
    try:
        root = open_part("native")
    except OSError:
        root = Path(tempfile.mkdtemp(prefix="edgeconv-native-"))  # no cache can be written: for this process only
        atexit.register(shutil.rmtree, root, ignore_errors=True)
    place = root / _key(made_of)
    if is_sound(place):
        sweep(root, ".partial-")
        return place
    with scratch(root, ".partial-") as folder:
        staging = folder / place.name
        staging.mkdir()
        make(staging)
        if not is_sound(place):  # another run may have been quicker; else what is there is damaged, or has no seal yet
            if place.exists():
                place.rename(folder / "replaced")
            seal(staging, place)
            staging.rename(place)
    return place


_SMALL = (
    "*.json",
    "*.jinja",
    "*.txt",
    "*.model",
    "README.md",
    "LICENSE*",
    "LICENCE*",
    "MODEL_LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
)
_LARGEST = 64 << 20
"""Bytes of a small file."""


def small_files(folder: Path) -> dict[str, Path]:
    """Return a checkpoint's small files by name: configs, tokenizer, templates, card, licenses; no index of shards, no code."""
    return {
        path.name: path
        for pattern in _SMALL
        for path in sorted(folder.glob(pattern))
        if path.is_file() and not path.name.endswith(".index.json") and path.stat().st_size <= _LARGEST
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object as transformers lays its files out."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _key(made_of: Any) -> str:
    versions = {name: version(name) for name in ("edgeconv", "tokenizers", "transformers")}
    return hashlib.sha256(json.dumps([made_of, versions], sort_keys=True).encode()).hexdigest()[:32]

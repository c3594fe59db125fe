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

from ..core.cache_folder import cache_folder
from ..core.scratch import scratch, sweep


def obtain(made_of: Any, make: Callable[[Path], None]) -> Path:
    """Return the folder, from the cache or freshly made.

    Args:
        made_of: all that decides on the content, versions of the libraries excepted; JSON-ready.
        make: writes the files into an empty folder.
    """
    try:
        root = cache_folder() / "native"
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        root = Path(tempfile.mkdtemp(prefix="edgeconv-native-"))  # no cache can be written: for this process only
        atexit.register(shutil.rmtree, root, ignore_errors=True)
    place = root / _key(made_of)
    if place.is_dir():
        sweep(root, ".partial-")
        return place
    with scratch(root, ".partial-") as folder:
        staging = folder / place.name
        staging.mkdir()
        make(staging)
        if not place.is_dir():
            staging.rename(place)
    return place


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object as transformers lays its files out."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _key(made_of: Any) -> str:
    versions = {name: version(name) for name in ("edgeconv", "tokenizers", "transformers")}
    return hashlib.sha256(json.dumps([made_of, versions], sort_keys=True).encode()).hexdigest()[:32]

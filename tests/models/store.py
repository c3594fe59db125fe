"""A cache of built test models, safe when several pytest workers (or sessions) ask for the same one at once."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def default_cache() -> Path:
    """Return where built models are kept: `$EDGECONV_TEST_CACHE`, or `~/.cache/edgeconv-tests`."""
    named = os.environ.get("EDGECONV_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "edgeconv-tests"


def once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder`; the first caller lets `build` fill it, everybody else waits and reuses it.

    The work is done in a neighbor and renamed, so that a folder under its final name is always whole, even after a
    build that was killed.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when the process ends, whatever the reason
        if not folder.is_dir():
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            build(partial)
            partial.rename(folder)
    return folder

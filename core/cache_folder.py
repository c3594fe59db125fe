"""Where edgeconv keeps what it can make again: `$EDGECONV_CACHE`, else `~/.cache/edgeconv`."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder, which may not exist yet."""
    return Path(os.environ.get("EDGECONV_CACHE") or Path.home() / ".cache" / "edgeconv")

"""Names of files that are no text: the libraries underneath take paths as UTF-8 only, and fail on others in odd places."""

from __future__ import annotations

import os
from pathlib import Path


def is_text(path: Path) -> bool:
    """Whether the whole path, as it would be opened, is UTF-8."""
    try:
        os.path.abspath(path).encode()  # noqa: PTH100 - links are not followed
    except UnicodeEncodeError:
        return False
    return True

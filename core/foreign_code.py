"""Keeps libraries underneath from fetching code of strangers because a file asked for it."""

from __future__ import annotations

import os
import sys
from typing import Any


def block_foreign_code() -> None:
    """Leave transformers without the package `kernels`, which downloads code from repositories that a config.json may name.

    To be called before transformers is imported. A library that this process has imported itself stays.
    """
    os.environ["USE_HUB_KERNELS"] = "0"
    modules: dict[str, Any] = sys.modules
    modules.setdefault("kernels", None)  # an import of it now fails, which transformers allows for

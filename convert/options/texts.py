"""Options of a GGUF whose texts mean something else than a name."""

from __future__ import annotations

import re

from ...core.errors import UsageError

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}
"""What llama.cpp's own tools mean by these letters."""


def tensor_type(text: str) -> tuple[str, str]:
    """Read REGEX=TYPE.

    Raises:
        UsageError: it is something else.
    """
    pattern, equals, kind = text.rpartition("=")
    if not (pattern and equals and kind):
        raise UsageError(f"--tensor-type {text!r} is not REGEX=TYPE.", "For example --tensor-type ffn_down=q6_k.")
    return pattern, kind


def byte_count(text: str | None) -> int:
    """Read a size such as 2G, in llama.cpp's decimal units; None is 0, which means no limit.

    Raises:
        UsageError: it is not a size.
    """
    if text is None:
        return 0
    found = re.fullmatch(r"(\d{1,15})([KMG]?)", text.strip().upper())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"--split-max-size {text!r} is not a size.", "For example --split-max-size 2G.")
    return int(found[1]) * _UNITS[found[2]]

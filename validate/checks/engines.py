"""Which version of an engine is installed, and whether a listed defect was looked at in it."""

from __future__ import annotations

import functools
import re
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = {
    "openvino_tokenizers": "openvino-tokenizers",
    "openvino_genai": "openvino-genai",
    "llama.cpp": "cyllama",
    "transformers": "transformers",
}
"""The package that brings an engine."""
_NUMBERS = re.compile(r"(?<![\w.])\d+(?:\.\d+)+")


@functools.cache
def installed(engine: str) -> str:
    """Return the version of an engine's package; empty if it is not known."""
    try:
        return version(_PACKAGES[engine]) if engine in _PACKAGES else ""
    except PackageNotFoundError:
        return ""


def looked_at(engine: str, versions: str) -> bool:
    """Tell whether the versions in which a defect was seen cover the installed one.

    Args:
        engine: by its name in the lists.
        versions: as the lists have them; "2026.4" covers 2026.4.1, and of "b9190 (cyllama 0.2.18)" the package's number counts.
    """
    here = installed(engine)
    return not here or any(
        here == seen or here.startswith((f"{seen}.", f"{seen}+")) for seen in _NUMBERS.findall(versions)
    )

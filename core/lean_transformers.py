"""transformers' model classes without what they import and nothing here uses.

Assisted generation asks for one function of scikit-learn, losses of object detection for one of scipy: together a second of
every run that loads a model. Both count as not installed while these modules are imported, and for transformers ever after.
"""

from __future__ import annotations

import sys
from typing import Any

_UNUSED = ("sklearn", "scipy")


def import_models() -> None:
    """Import the parts of transformers that would import them; others still can import them afterwards."""
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in _UNUSED if name not in modules]
    modules.update(dict.fromkeys(hidden))
    _forget_what_is_installed()
    try:
        import transformers.generation.candidate_generator
        import transformers.modeling_utils  # noqa: F401
    finally:
        for name in hidden:
            del modules[name]


def _forget_what_is_installed() -> None:
    """Let transformers look again: it keeps its first answer, which it may have given before they were hidden."""
    from transformers.utils import import_utils

    for name in _UNUSED:
        answer = getattr(import_utils, f"is_{name}_available", None)
        getattr(answer, "cache_clear", lambda: None)()

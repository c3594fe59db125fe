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
    try:
        import transformers.generation.candidate_generator
        import transformers.modeling_utils  # noqa: F401
    finally:
        for name in hidden:
            del modules[name]

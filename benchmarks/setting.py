"""What every case is given."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """Where a case works and with what.

    Attributes:
        work: a folder for checkpoints and results; the checkpoints are kept.
        pairs: runs of each side.
        converter: convert_hf_to_gguf.py of a llama.cpp checkout with its `conversion` and `gguf-py` folders; None: there is none.
        optimum_python: the interpreter of the environment that optimum-intel is in.
        model: the folder of a real checkpoint of type llama, for what random weights cannot show.
        max_tokens: tokens of the suite on which a validation is measured; None: all.
    """

    work: Path
    pairs: int = 3
    converter: Path | None = None
    optimum_python: str = sys.executable
    model: Path | None = None
    max_tokens: int | None = None

"""The files beside the graphs of an artifact that is a folder with tokenizer and configs."""

from __future__ import annotations

from pathlib import Path

from .. import tokenizer_copy
from ..openvino import assets

_WRITTEN = ("config.json", "generation_config.json")


def names(folder: Path) -> tuple[str, ...]:
    """Return what an artifact of a checkpoint's folder will have."""
    copied = (path.relative_to(folder).as_posix() for path in assets.sources(folder))
    return tuple(dict.fromkeys((*_WRITTEN, *copied, *tokenizer_copy.written(folder))))

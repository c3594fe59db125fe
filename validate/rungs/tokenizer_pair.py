"""The two tokenizers that rungs 1 and 2 compare, opened with a sentence for whatever goes wrong."""

from __future__ import annotations

import functools
import gc
from pathlib import Path
from typing import Any

from ...core.errors import ArtefactError
from ...core.hf_tokenizer import open_tokenizer
from ..runtimes.answers import require_bounded_template
from .reference_tokenizer import ReferenceTokenizer


def of_transformers(folder: Path) -> Any:
    """Open a folder's tokenizer with transformers; one that was opened before is given again, unless a file has changed.

    Raises:
        CheckpointError: it cannot be opened.
    """
    stamps = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.glob("*.[jm]*"))]
    return _opened(folder, tuple(stamps))


@functools.lru_cache(maxsize=2)
def _opened(folder: Path, _stamps: tuple[tuple[str, int, int], ...]) -> Any:
    return open_tokenizer(folder)


def forget() -> None:
    """Let go of the tokenizers that were opened: 200 MB each, where there are 150,000 tokens."""
    _opened.cache_clear()
    gc.collect()  # a tokenizer and its functions refer to each other


def reference(folder: Path) -> ReferenceTokenizer:
    """Open the tokenizer that a folder's own file states. Raises CheckpointError."""
    return ReferenceTokenizer(of_transformers(folder))


def of_genai(folder: Path) -> Any:
    """Open an artefact's tokenizer IRs as `openvino_genai.LLMPipeline` does.

    Raises:
        ArtefactError: they are missing or cannot be opened.
    """
    import openvino_genai

    for name in ("openvino_tokenizer.xml", "openvino_detokenizer.xml"):
        if not (folder / name).is_file():
            raise ArtefactError(f"{folder / name} is missing.", "Convert the checkpoint again.")
    try:
        tokenizer = openvino_genai.Tokenizer(str(folder))
    except RuntimeError as error:
        raise ArtefactError(f"openvino_genai cannot open the tokenizer of {folder}: {_reason(error)}.") from error
    require_bounded_template(tokenizer, folder)
    return tokenizer


def excerpt(text: str, at: int, width: int = 30) -> str:
    """Return the characters around a place, quoted, with marks where some were left out."""
    start, stop = max(0, at - width), at + width
    return ("…" if start else "") + repr(text[start:stop]) + ("…" if stop < len(text) else "")


def first_difference(one: Any, other: Any) -> int:
    """Return the first index at which two sequences differ; the shorter one's length if it begins the other."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".")

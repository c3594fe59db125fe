"""The two tokenizers that checks 1 and 2 compare, opened with a sentence for whatever goes wrong."""

from __future__ import annotations

import functools
import gc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core import tokenizer_files
from ...core.errors import ArtifactError
from ...core.hf_tokenizer import open_tokenizer
from ...runtimes.answers import require_bounded_template
from .reference_tokenizer import ReferenceTokenizer


def of_transformers(folder: Path) -> Any:
    """Open a folder's tokenizer with transformers; one that was opened before is given again, unless a file has changed.

    A folder whose files are another's byte for byte has the tokenizer of that one: the artifact's are mostly copies.

    Raises:
        CheckpointError: it cannot be opened.
    """
    alike = tokenizer_files.digest(folder)
    if alike is None:
        return _opened(_Key(folder, (str(folder), _stamps(folder, "*.[jm]*"))))
    return _opened(_Key(folder, alike))


@dataclass(frozen=True)
class _Key:
    """A folder that stands for all of the same content."""

    folder: Path = field(compare=False)
    content: Any


def _stamps(folder: Path, pattern: str) -> tuple[tuple[str, int, int], ...]:
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.glob(pattern)))


@functools.lru_cache(maxsize=2)
def _opened(key: _Key) -> Any:
    return open_tokenizer(key.folder)


def forget() -> None:
    """Let go of the tokenizers that were opened: 200 MB each, where there are 150,000 tokens."""
    _opened.cache_clear()
    _opened_by_genai.cache_clear()
    gc.collect()  # a tokenizer and its functions refer to each other


def reference(folder: Path) -> ReferenceTokenizer:
    """Open the tokenizer that a folder's own file states. Raises CheckpointError."""
    return ReferenceTokenizer(of_transformers(folder))


def of_genai(folder: Path) -> Any:
    """Open an artifact's tokenizer IRs as `openvino_genai.LLMPipeline` does; once, unless a file has changed.

    Raises:
        ArtifactError: they are missing or cannot be opened.
    """
    for name in ("openvino_tokenizer.xml", "openvino_detokenizer.xml"):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing.", "Convert the checkpoint again.")
    return _opened_by_genai(folder, _stamps(folder, "*.*"))


@functools.lru_cache(maxsize=1)
def _opened_by_genai(folder: Path, _known: tuple[tuple[str, int, int], ...]) -> Any:
    import openvino_genai

    try:
        tokenizer = openvino_genai.Tokenizer(str(folder))
    except RuntimeError as error:
        raise ArtifactError(f"openvino_genai cannot open the tokenizer of {folder}: {_reason(error)}.") from error
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

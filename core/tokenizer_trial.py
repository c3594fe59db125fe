"""Whether a stranger's tokenizer.json can be opened here: it comes to an end, in little memory, and no library panics.

Its normalizers and expressions are programs. They are tried first by the worker (`worker`), around a vocabulary of a
few tokens, so that the trial costs milliseconds whatever the size of the vocabulary.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import worker
from .errors import CheckpointError
from .json_file import read_json

_PANIC = "PanicException"
"""The class of what PyO3 makes of a panic of Rust; it is a BaseException, and cannot be imported."""
_ADDED = 2000
"""Added tokens that are tried; the largest known tokenizer has 1,100."""
_VOCAB = {text: at for at, text in enumerate(("<unk>", "a" * 48 + "!", "1" * 48, "\u2581" * 48, ".", "<0x41>"))}


class Panicked(ValueError):  # noqa: N818 - the library did
    """A library that is written in Rust panicked; the message is its own."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turn a panic of Rust in the body, which is not an Exception, into one (`Panicked`)."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise Panicked(str(error).strip().splitlines()[0] if str(error).strip() else _PANIC) from None


def require_bounded(description: dict[str, Any]) -> None:
    """Try a tokenizer.json.

    Args:
        description: its content, or {}.

    Raises:
        CheckpointError: it runs for ever, fills the memory, or makes the library panic.
    """
    if not description:
        return
    added = description.get("added_tokens")
    small = {
        **{name: description.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder")},
        "version": "1.0",
        "added_tokens": added[:_ADDED] if isinstance(added, list) else [],
        "model": {"type": "WordLevel", "vocab": _VOCAB, "unk_token": "<unk>"},
    }
    _try(json.dumps(small))


def require_bounded_file(path: Path) -> None:
    """Try a tokenizer.json as it lies; of what is not JSON object the library says that. Raises CheckpointError."""
    try:
        description = read_json(path) if path.is_file() else {}
    except CheckpointError:
        return
    require_bounded(description)


@functools.lru_cache(maxsize=4)
def _try(description: str) -> None:
    try:
        worker.ask("tokenizer", description=description)
    except worker.WorkerFault as fault:
        if fault.limit:
            raise CheckpointError(
                f"tokenizer.json cannot be used: {fault}.",
                "Its normalizer, an expression or another part of it is damaged or hostile; take another revision.",
            ) from fault
        raise CheckpointError(f"tokenizer.json cannot be tried: {fault}.", "Download the file again.") from fault

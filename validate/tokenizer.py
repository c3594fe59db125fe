"""The reference's tokenizer, with which suites are encoded and answers decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .checks import tokenizer_pair
from .message_parts import in_parts


def open_tokenizer(folder: Path, *, parts: bool = False) -> Any:
    """Open it with transformers; `parts`: its chat template wants content as a list of parts, as GLM-Edge-V's does."""
    tokenizer = tokenizer_pair.of_transformers(folder)
    return _InParts(tokenizer) if parts else tokenizer


class _InParts:
    """A tokenizer whose messages may hold plain strings, which its template would drop without a word."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *texts: Any, **options: Any) -> Any:
        return self._tokenizer(*texts, **options)

    def apply_chat_template(self, messages: list[dict[str, Any]], **options: Any) -> Any:
        return self._tokenizer.apply_chat_template([in_parts(message) for message in messages], **options)

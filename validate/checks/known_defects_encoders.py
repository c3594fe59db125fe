"""What llama.cpp does otherwise than the tokenizers of encoders: listed by name, each seen with the version beside it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from .reference_tokenizer import Description, ReferenceTokenizer
from .runtime_defects import RuntimeDefect

_UNBOUNDED = 10**9
_KEPT = "\t\n\r"
"""Control characters that are white space for BERT."""


def _is_wordpiece(reference: ReferenceTokenizer) -> bool:
    return bool((reference.description.get("model") or {}).get("type") == "WordPiece")


def _splits_at_spaces(reference: ReferenceTokenizer) -> bool:
    model = reference.description.get("model") or {}
    return bool(model.get("type") == "Unigram")


def _words_without_end(description: Description) -> Description:
    return {**description, "model": {**description["model"], "max_input_chars_per_word": _UNBOUNDED}}


def _without(kinds: tuple[str, ...]) -> Callable[[str], str]:
    def change(text: str) -> str:
        return "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in kinds)

    return change


def of_encoders(engine: str, versions: str) -> tuple[RuntimeDefect, ...]:
    """Return the list, as seen in these versions of the engine, llama.cpp."""
    return (
        RuntimeDefect(
            "marks of their own",
            engine,
            versions,
            "letters whose marks are characters of their own (e and U+0301 for é)",
            "it takes accents away from composed letters alone, and leaves the marks in their words",
            applies=_is_wordpiece,
            without=_without(("Mn",)),
        ),
        RuntimeDefect(
            "characters that say nothing",
            engine,
            versions,
            "control and format characters within words (vertical tab, zero-width space)",
            "it parts words at some of them, or keeps them, where BERT takes them out",
            applies=_is_wordpiece,
            without=_without(("Cc", "Cf")),
        ),
        RuntimeDefect(
            "words without an end",
            engine,
            versions,
            "words of more than a hundred letters",
            "it looks for the pieces of a word of any length, where BERT takes a long one for unknown",
            applies=_is_wordpiece,
            as_run=_words_without_end,
        ),
        RuntimeDefect(
            "next line",
            engine,
            versions,
            "the character U+0085",
            "it takes it for a letter, where the tokenizer splits words at it",
            applies=_splits_at_spaces,
            without=lambda text: text.replace("\x85", " "),
        ),
    )

"""What the worker does with a stranger's tokenizer.json. Loaded by `worker_child` alone."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

_RUN = 4096
"""Length of a run of one character: an expression with two ways to read a run needs no more to show it."""
TEXTS = (
    "The quick brown fox isn't lazy; it's 12,345.67 km away.\n\n  Two  spaces,\tand a tab. ",
    "日本語 和 中文, 你好。 Привет, мир! Γειά σου e\u0301 ﬁ ① Å 🙂👍🏽 a\u00a0b\u3000c",
    *(letter * 48 + end for letter in "aA1 .\n-" for end in ("!", "\u4e00")),
    *("ab" * 24 + end for end in ("!", "\u4e00")),
    *(letter * _RUN for letter in "a1 ."),
)
"""Texts that show an expression, or a normalizer, without an end."""


def tokenizer(description: str) -> None:
    """Open a tokenizer, encode every text and decode every token; an error that the library raises is nobody's harm here.

    A refusal is told where the tokenizer is opened for use. What matters here is whether this ends, in what memory, and
    without a panic.

    Args:
        description: a tokenizer.json with a vocabulary of a few tokens.
    """
    try:
        made: Any = Tokenizer.from_str(description)
        made.no_truncation()
        made.no_padding()
    except Exception:  # noqa: BLE001 - the library raises nothing more exact
        return
    for text in TEXTS:
        for special in (False, True):
            try:
                made.encode(text, add_special_tokens=special)
            except Exception:  # noqa: BLE001 - likewise
                break
    for number in range(len(json.loads(description)["model"]["vocab"])):
        try:
            made.decode([number])
        except Exception:  # noqa: BLE001 - likewise
            break

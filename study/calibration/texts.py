"""Texts that a model is compressed with: read as suites are, never the text that it is measured on, cut into samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...core.errors import UsageError
from ...quantize.data_aware import SUITE
from ...validate.suite import Suite, encode, load, require_apart

T = TypeVar("T")
OWN = Path(__file__).parents[2] / "validate" / "suite" / "data" / "calibration.jsonl"
"""What `--calibration suite` means: language reference and chats that no document of the validator's suite shares."""
LEAST = 1024
"""Tokens below which a measurement would say more about the text than about the model."""


def text_of(calibration: str | Path) -> Suite:
    """Read a calibration text: a file, as `--suite` takes them, or "suite".

    Raises:
        UsageError: it cannot be read, or is in part what the validator measures on.
    """
    text = load(OWN if str(calibration) == SUITE else Path(calibration))
    require_apart(text, load())
    return text


def pieces(text: Suite, tokenizer: Any, length: int) -> list[list[int]]:
    """Return the ids of a text in pieces of at most `length` tokens, chats rendered by the model's template."""
    ids = [document.ids for document in encode(text, tokenizer)]
    return [whole[at : at + length] for whole in ids for at in range(0, len(whole), length)]


def require_long(samples: Sequence[Sequence[int]], called: str, what: str) -> None:
    """Raise UsageError if the text, which is `called` so, is too short for what is to be measured on it."""
    total = sum(map(len, samples))
    if total < LEAST:
        raise UsageError(f"{called} has {total} tokens; {what} needs {LEAST}.", "Give a longer text.")


def spread(samples: Sequence[T], count: int) -> list[T]:
    """Take `count` samples, or all if there are fewer, evenly from the whole text."""
    taken = min(count, len(samples))
    return [samples[place * len(samples) // taken] for place in range(taken)]

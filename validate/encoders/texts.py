"""What an encoder is measured on: passages and questions of the suite, in tokens.

Passages are the paragraphs of the suite's texts, and each text as a whole, so that some are longer than a window; one text fills
all positions that the model has, up to LONGEST. Questions are what users ask in its conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import UsageError
from ...runtimes.encoder import Text
from ..suite import Suite

LONGEST = 1024
"""Tokens of the longest text; a model of fewer positions gets as many as it has."""
_SHORTEST = 25
"""Characters of a paragraph that is taken."""
_PASSAGES = 96
"""Passages that questions are compared with: evenly spread over the suite."""
_PAIRED = 24
"""Passages that each question is paired with, where pairs are scored."""
_ASKED = 8
"""Questions that are paired."""


@dataclass(frozen=True)
class Sample:
    """A text in tokens, and which text of the suite it is of.

    Attributes:
        text: in tokens.
        words: as it is written; of a pair the question and the passage. Empty: the text is no words.
        group: name of the document.
    """

    text: Text
    words: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Texts:
    """The samples of a measurement: passages, and questions; or for a scoring model pairs, question by question."""

    passages: list[Sample]
    questions: list[Sample]
    pairs: list[list[Sample]]

    @property
    def all(self) -> list[Sample]:
        """All in one row: passages and questions, or pairs."""
        return [*self.passages, *self.questions, *(one for row in self.pairs for one in row)]

    @property
    def tokens(self) -> int:
        """Of all."""
        return sum(len(one.text.ids) for one in self.all)


def of_suite(suite: Suite, tokenizer: Any, *, scores: bool, longest: int, limit: int | None = None) -> Texts:
    """Encode the suite's passages and questions.

    Args:
        suite: the documents.
        tokenizer: the reference's.
        scores: pairs are wanted.
        longest: tokens at which a text is cut.
        limit: tokens in all, about; None: all texts.

    Raises:
        UsageError: the suite has no passage or no question, or fewer tokens than asked for.
    """
    passages, questions = _passages(suite), _questions(suite)
    if len(passages) < 2 or not questions:
        raise UsageError(f"The suite {suite.name} has {len(passages)} passages and {len(questions)} questions.",
                         "An encoder is measured on both: add texts, and chats or prompts.")  # fmt: skip
    encode = _Encoder(tokenizer, longest)
    if scores:
        some = _spread(passages, _PAIRED)
        rows = [[encode(name, question, passage) for name, passage in some] for _, question in questions[:_ASKED]]
        return Texts([], [], _fewer(rows, limit))
    found = Texts([encode(*one) for one in _spread(passages, _PASSAGES)], [encode(*one) for one in questions], [])
    found.passages.append(_filled(found.passages, longest))
    if limit is None or found.tokens <= limit:
        return found
    share = limit / found.tokens
    few = [_spread(side, max(8, int(len(side) * share))) for side in (found.passages, found.questions)]
    return Texts(few[0], few[1], [])


class _Encoder:
    def __init__(self, tokenizer: Any, longest: int) -> None:
        self._tokenizer, self._longest = tokenizer, longest

    def __call__(self, group: str, *words: str) -> Sample:
        made = self._tokenizer(
            *words, truncation=True, max_length=self._longest, padding=False, return_token_type_ids=True
        )
        kinds = made.get("token_type_ids") or [0] * len(made["input_ids"])
        return Sample(Text(list(made["input_ids"]), list(kinds)), words, group)


def _passages(suite: Suite) -> list[tuple[str, str]]:
    found = []
    for document in suite.documents:
        if document.text is None:
            continue
        lines = [line.strip() for line in document.text.split("\n\n" if document.kind == "code" else "\n")]
        found += [(document.name, line) for line in lines if len(line) >= _SHORTEST]
        found.append((document.name, document.text))
    return found


def _questions(suite: Suite) -> list[tuple[str, str]]:
    asked = [(f"prompt {number}", prompt[-1].content or "") for number, prompt in enumerate(suite.prompts)]
    for document in suite.documents:
        first = next((m.content for m in document.messages or () if m.role == "user" and m.content), None)
        asked += [(document.name, first)] if first else []
    return [one for one in asked if one[1].strip()]


def _filled(samples: Sequence[Sample], longest: int) -> Sample:
    """Make one text of `longest` tokens of the tokens of others, between the first and the last token of one of them."""
    first, last = samples[0].text.ids[0], samples[0].text.ids[-1]
    inner = [token for one in samples for token in one.text.ids[1:-1]]
    while len(inner) < longest:
        inner = inner * 2
    ids = [first, *inner[: longest - 2], last]
    return Sample(Text(ids, [0] * len(ids)), (), "all texts in one")


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """Take so many, evenly spread."""
    return [items[number * len(items) // count] for number in range(count)] if len(items) > count else list(items)


def _fewer(rows: list[list[Sample]], limit: int | None) -> list[list[Sample]]:
    total = sum(len(one.text.ids) for row in rows for one in row)
    if limit is None or total <= limit:
        return rows
    count = max(6, int(len(rows[0]) * limit / total))
    return [_spread(row, count) for row in rows]

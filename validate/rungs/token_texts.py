"""What rung 2 does for any format: awkward texts, the vocabulary and the special tokens, encoded and decoded by both sides."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...core.progress import Progress
from ..report.model import Rung
from . import tokenizer_pair
from .corpus import TEXTS, Defect

_LINES = 256
"""Tokens of the vocabulary that make one text."""
_SHOWN = 5


class Tokenizer(Protocol):
    """The artefact's, as its runtime runs it."""

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the ids; `special`: with what frames a text."""

    def decode(self, ids: Sequence[int], *, skip: bool) -> str:
        """Return the text; `skip`: without special tokens."""


@dataclass
class Findings:
    """What was found: failures, known defects as warnings, and how much was compared.

    `defects` are differences of the runtime that no conversion can mend.
    """

    runtime: str
    defects: Sequence[Defect] = ()
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    texts: int = 0
    tokens: int = 0
    known: int = 0

    def rung(self, seconds: float) -> Rung:
        """Return the rung."""
        hidden = len(self.failures) - _SHOWN
        shown = self.failures[:_SHOWN] + ([f"{hidden} more differences."] if hidden > 0 else [])
        return Rung(
            name="tokens",
            status="failed" if shown else "passed",
            summary=self._summary(),
            failures=shown,
            warnings=self.warnings,
            figures={
                "texts": self.texts,
                "tokens": self.tokens,
                "different": len(self.failures),
                "known_defects": self.known,
            },
            seconds=seconds,
        )

    def _summary(self) -> str:
        total = f"{self.tokens:,} tokens of {self.texts} texts"
        if self.failures:
            return f"{len(self.failures)} differences in {total} and in the special tokens."
        if self.known:
            return f"{total} compared: {self.known} texts differ, each by a known defect of {self.runtime}."
        return f"{total}, and all special and stop tokens, are equal."


def compare(reference: Any, artefact: Tokenizer, found: Findings, progress: Progress) -> None:
    """Compare all texts.

    Args:
        reference: a tokenizer of transformers.
        artefact: the other side.
        found: takes what differs.
        progress: hears of the texts.
    """
    texts = [*TEXTS.items(), *_special_texts(reference), *_vocabulary(reference)]
    task = progress.task("Comparing tokens", len(texts))
    for name, text in texts:
        _text(name, text, reference, artefact, found)
        task.advance(1)
    task.finish()
    found.texts = len(texts)


def _special_texts(tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Special tokens alone, in text, doubled, and cut short."""
    special = [str(token) for token in tokenizer.get_added_vocab()]
    yield "special tokens in a row", "".join(special)
    yield "special tokens in text", "".join(f"word {token} 字{token}\n {token}. " for token in special)
    yield "special tokens cut short", " ".join(token[:-1] + " " + token[1:] for token in special)


def _vocabulary(tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Every token that is a text by itself, one a line; one that is a part of a character (U+FFFD) is left out."""
    decoded = (tokenizer.decode([i]) for i in range(len(tokenizer)))
    whole = [text for text in decoded if text and "\ufffd" not in text]
    for start in range(0, len(whole), _LINES):
        yield f"vocabulary from {start}", "\n".join(whole[start : start + _LINES])


def _text(name: str, text: str, reference: Any, artefact: Tokenizer, found: Findings) -> None:
    """Compare one text. A difference is a failure, unless it is a listed defect of the runtime: then a warning."""
    found.tokens += len(_ids(reference, text, special=True))
    sentence = _difference(name, text, reference, artefact)
    if sentence is None:
        return
    for defect in found.defects:
        mended = defect.without(text)
        if defect.concerns(reference) and mended != text and _difference(name, mended, reference, artefact) is None:
            found.warnings.append(f"{sentence} Known: {defect.reason}.")
            found.known += 1
            return
    found.failures.append(sentence)


def _difference(name: str, text: str, reference: Any, artefact: Tokenizer) -> str | None:
    """Return what differs first: ids with and without the special tokens that frame a text, then the decoded text."""
    wanted: list[int] = []
    for special in (False, True):
        wanted = _ids(reference, text, special=special)
        got = artefact.encode(text, special=special)
        if wanted != got:
            return _ids_differ(name, wanted, got, reference, special)
    for skip in (True, False):
        expected = reference.decode(wanted, skip_special_tokens=skip)
        decoded = artefact.decode(wanted, skip=skip)
        if expected != decoded:
            at = tokenizer_pair.first_difference(expected, decoded)
            return (
                f"Text '{name}' decodes{' without special tokens' if skip else ''} differently from character {at}: expected "
                f"{tokenizer_pair.excerpt(expected, at)}, decoded {tokenizer_pair.excerpt(decoded, at)}."
            )
    return None


@functools.lru_cache(maxsize=2)
def _ids(reference: Any, text: str, *, special: bool) -> list[int]:
    return [int(i) for i in reference(text, add_special_tokens=special, verbose=False)["input_ids"]]


def _ids_differ(name: str, wanted: list[int], got: list[int], tokenizer: Any, special: bool) -> str:
    at = tokenizer_pair.first_difference(wanted, got)
    before = tokenizer.decode(wanted[:at])[-30:]
    mode = "" if special else ", without special tokens,"
    return (
        f"Text '{name}'{mode} differs from token {at} of {len(wanted)}, after {json.dumps(before, ensure_ascii=False)}: "
        f"expected {_pieces(tokenizer, wanted[at : at + 4])}, got {_pieces(tokenizer, got[at : at + 4])}."
    )


def _pieces(tokenizer: Any, ids: list[int]) -> str:
    return "[" + ", ".join(f"{i} {tokenizer.decode([i])!r}" for i in ids) + "]"


def stops_of(config: dict[str, Any]) -> set[int]:
    """Return the ids that end an answer, by a config or a generation config."""
    value = config.get("eos_token_id")
    return set() if value is None else {value} if isinstance(value, int) else set(value)


def named(tokenizer: Any, ids: set[int]) -> str:
    """Write ids with their tokens."""
    names = [f"{i} {tokenizer.convert_ids_to_tokens(i)!r}" for i in sorted(ids)]
    return ", ".join(names) or "no token"

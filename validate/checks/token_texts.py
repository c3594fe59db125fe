"""What the tokens check does for any format: texts, vocabulary and special tokens, encoded and decoded by both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...core.progress import Progress
from ..report.model import Check
from . import tokenizer_pair
from .corpus import TEXTS
from .reference_tokenizer import ReferenceTokenizer
from .runtime_defects import Explained, Observed, RuntimeDefect

_LINES = 256
"""Tokens of the vocabulary that make one text."""
_SHOWN = 5


class Tokenizer(Protocol):
    """The artifact's, as its runtime runs it."""

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the ids; `special`: with what frames a text."""

    def decode(self, ids: Sequence[int], *, skip: bool) -> str:
        """Return the text; `skip`: without special tokens."""


@dataclass
class Findings:
    """What was found: failures, the runtime's own defects, and how much was compared."""

    runtime: str
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    defects: Observed = field(default_factory=Observed)
    texts: int = 0
    tokens: int = 0
    known: int = 0
    cleaned: int = 0

    def as_check(self, seconds: float) -> Check:
        """Return the check."""
        hidden = len(self.failures) - _SHOWN
        shown = self.failures[:_SHOWN] + ([f"{hidden} more differences."] if hidden > 0 else [])
        return Check(
            name="tokens",
            status="failed" if shown else "passed",
            summary=self._summary(),
            failures=shown,
            warnings=self.warnings,
            defects=self.defects.rows(),
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


@dataclass(frozen=True)
class Text:
    """One text; `thorough`: with and without what frames a text, decoded with and without special tokens."""

    name: str
    text: str
    thorough: bool = True


def compare(
    reference: ReferenceTokenizer,
    artifact: Tokenizer,
    found: Findings,
    progress: Progress,
    defects: Sequence[RuntimeDefect] = (),
    *,
    decodes: bool = True,
) -> None:
    """Compare all texts.

    Args:
        reference: the checkpoint's tokenizer.
        artifact: the other side.
        found: takes what differs.
        progress: reporter of the texts.
        defects: those of the runtime, by which a difference may be explained.
        decodes: texts are made of tokens, too; nobody asks that of a model that writes none.
    """
    texts = [*(Text(*item) for item in TEXTS.items()), *_special_texts(reference), *_vocabulary(reference)]
    bare = reference.encode_all([one.text for one in texts], special=False)
    framed = iter(reference.encode_all([one.text for one in texts if one.thorough], special=True))
    sides = _Sides(reference, artifact, found, Explained(reference, defects), decodes)
    task = progress.task("Comparing tokens", len(texts))
    for one, ids in zip(texts, bare, strict=True):
        modes = {False: ids, True: next(framed)} if one.thorough else {False: ids}
        found.tokens += len(modes[one.thorough])
        sides.compare(one, modes)
        task.advance(1)
    task.finish()
    found.texts = len(texts)
    if found.cleaned:
        found.warnings.append(
            f"{found.cleaned} texts are decoded without the spaces before punctuation: the artifact cleans them up, as "
            "clean_up_tokenization_spaces of tokenizer_config.json asks of transformers."
        )


def _special_texts(tokenizer: ReferenceTokenizer) -> Iterator[Text]:
    """Special tokens alone, in text, doubled, and cut short."""
    special = [token.content for token in tokenizer.added.values()]
    for start in range(0, len(special), _LINES):
        part = special[start : start + _LINES]
        mark = f" from {start}" if len(special) > _LINES else ""
        yield Text(f"special tokens in a row{mark}", "".join(part))
        yield Text(f"special tokens in text{mark}", "".join(f"word {token} 字{token}\n {token}. " for token in part))
        yield Text(f"special tokens within words{mark}", "".join(f"a{token}b" for token in part))
        yield Text(f"special tokens cut short{mark}", " ".join(token[:-1] + " " + token[1:] for token in part))


def _vocabulary(tokenizer: ReferenceTokenizer) -> Iterator[Text]:
    """Every token that is a text by itself, one a line; one that is a part of a character (U+FFFD) is left out."""
    decoded = tokenizer.decode_all([[number] for number in range(tokenizer.size)], skip=False)
    whole = [text for text in decoded if text and "\ufffd" not in text]
    for start in range(0, len(whole), _LINES):
        yield Text(f"vocabulary from {start}", "\n".join(whole[start : start + _LINES]), thorough=False)


@dataclass(frozen=True)
class _Sides:
    """The two tokenizers, and what explains a difference."""

    reference: ReferenceTokenizer
    artifact: Tokenizer
    found: Findings
    explained: Explained
    decodes: bool = True

    def compare(self, one: Text, modes: Mapping[bool, list[int]]) -> None:
        """Compare one text. A difference is a failure, unless listed defects of the runtime explain it.

        Args:
            one: the text.
            modes: the ids of it, without and with (True) what frames a text.
        """
        known: list[RuntimeDefect] = []
        ids = modes[one.thorough]
        for special, wanted in modes.items():
            got = self.artifact.encode(one.text, special=special)
            if wanted == got:
                continue
            reasons = self.explained.ids(one.text, got, self._encoder(special), special=special)
            if not reasons:
                self.found.failures.append(self._ids_differ(one.name, wanted, got, special))
                return
            known += reasons
        for skip in ((True, False) if one.thorough else (False,)) if self.decodes else ():
            expected, decoded = (side.decode(ids, skip=skip) for side in (self.reference, self.artifact))
            if expected == decoded:
                continue
            if self.reference.cleans_up and decoded in self.reference.cleaned(expected):
                self.found.cleaned += 1
                continue
            reasons = self.explained.text(ids, decoded, skip=skip)
            if not reasons:
                self.found.failures.append(_texts_differ(one.name, expected, decoded, skip=skip))
                return
            known += reasons
        for defect in dict.fromkeys(known):
            self.found.defects.add(defect, one.name)
        self.found.known += bool(known)

    def _encoder(self, special: bool) -> Any:
        return lambda text: self.artifact.encode(text, special=special)

    def _ids_differ(self, name: str, wanted: list[int], got: list[int], special: bool) -> str:
        at = tokenizer_pair.first_difference(wanted, got)
        before = self.reference.decode(wanted[:at], skip=False)[-30:]
        mode = "" if special else ", without special tokens,"
        return (
            f"Text '{name}'{mode} differs from token {at} of {len(wanted)}, after "
            f"{json.dumps(before, ensure_ascii=False)}: expected {self._pieces(wanted[at : at + 4])}, got "
            f"{self._pieces(got[at : at + 4])}."
        )

    def _pieces(self, ids: list[int]) -> str:
        texts = self.reference.decode_all([[number] for number in ids], skip=False)
        return "[" + ", ".join(f"{number} {text!r}" for number, text in zip(ids, texts, strict=True)) + "]"


def _texts_differ(name: str, expected: str, decoded: str, *, skip: bool) -> str:
    at = tokenizer_pair.first_difference(expected, decoded)
    return (
        f"Text '{name}' decodes{' without special tokens' if skip else ''} differently from character {at}: expected "
        f"{tokenizer_pair.excerpt(expected, at)}, decoded {tokenizer_pair.excerpt(decoded, at)}."
    )


def stops_of(config: dict[str, Any]) -> set[int]:
    """Return the ids that end an answer, by a config or a generation config."""
    value = config.get("eos_token_id")
    return set() if value is None else {value} if isinstance(value, int) else set(value)


def named(tokenizer: ReferenceTokenizer, ids: set[int]) -> str:
    """Write ids with their tokens."""
    return ", ".join(f"{i} {tokenizer.name(i)!r}" for i in sorted(ids)) or "no token"

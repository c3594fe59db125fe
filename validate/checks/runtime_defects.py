"""What engines do otherwise than a tokenizer says, by name: no fault of an artifact, and nothing that a conversion can mend.

A difference is excused only if the listed defects explain it exactly: the engine's ids (or text) are those of the tokenizer with
the defect put into it (`as_run`), or they are the tokenizer's own once the text lacks what triggers the defect (`without`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..report.model import Check
from ..report.model import RuntimeDefect as Row
from ..report.words import sentence
from . import engines
from .reference_tokenizer import Description, ReferenceTokenizer

_EXAMPLES = 3


@dataclass(frozen=True)
class RuntimeDefect:
    """One listed defect; either `as_run` or `without` is set, or neither where no text is concerned.

    Attributes:
        name: short and stable.
        engine: who does it.
        versions: in which versions it was seen.
        concerns: the texts (or prompts) that it touches, in words.
        effect: what the engine does, as a sentence without a full stop.
        applies: tells by a tokenizer whether its texts can be touched at all.
        as_run: tokenizer.json's content as the engine in effect runs it.
        without: rewrites a text so that it lacks the trigger.
        canary: a text on which an engine with this defect, and no worse, still agrees with the tokenizer.
    """

    name: str
    engine: str
    versions: str
    concerns: str
    effect: str
    applies: Callable[[ReferenceTokenizer], bool] = lambda _: True
    as_run: Callable[[Description], Description] | None = None
    without: Callable[[str], str] | None = None
    canary: str = ""


def as_failures(check: Check) -> Check:
    """Return a check in which each defect of the engine is a failure, as --strict asks."""
    if not check.defects:
        return check
    failures = [*check.failures, *(f"{sentence(defect)}." for defect in check.defects)]
    return check.model_copy(update={"status": "failed", "failures": failures})


@dataclass
class Observed:
    """The defects that were seen in one check, how often, and in which texts first."""

    counts: dict[RuntimeDefect, int] = field(default_factory=dict)
    examples: dict[RuntimeDefect, list[str]] = field(default_factory=dict)

    def add(self, defect: RuntimeDefect, where: str, count: int = 1) -> None:
        """Note that a defect shows in a text."""
        self.counts[defect] = self.counts.get(defect, 0) + count
        shown = self.examples.setdefault(defect, [])
        if len(shown) < _EXAMPLES and where not in shown:
            shown.append(where)

    def rows(self) -> list[Row]:
        """Return them for the report."""
        return [
            Row(
                name=defect.name,
                engine=defect.engine,
                versions=defect.versions,
                installed=engines.installed(defect.engine),
                looked_at=engines.looked_at(defect.engine, defect.versions),
                concerns=defect.concerns,
                effect=defect.effect,
                count=count,
                examples=self.examples[defect],
            )
            for defect, count in self.counts.items()
        ]


class Explained:
    """The defects of one engine that a tokenizer suffers from, and whether they explain a difference."""

    def __init__(self, reference: ReferenceTokenizer, defects: Iterable[RuntimeDefect]) -> None:
        """Choose the defects that apply."""
        self._reference = reference
        self._defects = [d for d in defects if (d.as_run or d.without) and d.applies(reference)]
        self._alone: dict[RuntimeDefect, ReferenceTokenizer] = {}
        self._listened = False

    @cached_property
    def _as_run(self) -> ReferenceTokenizer:
        """The tokenizer with all the defects that are changes of it."""
        changes = [defect.as_run for defect in self._defects if defect.as_run]
        return self._reference.changed(*changes) if changes else self._reference

    def ids(
        self, text: str, got: list[int], encode: Callable[[str], list[int]], *, special: bool
    ) -> list[RuntimeDefect]:
        """Return the defects by which an engine's ids of a text differ from the tokenizer's; none: they do not explain it.

        Args:
            text: on which the two differ.
            got: the engine's ids of it.
            encode: the engine.
            special: with what stands around a text.
        """
        self._listen(encode, special=special)
        cleared = self._cleared(text)
        given = got if cleared == text else encode(cleared)
        if not self._defects or given != self._as_run.encode(cleared, special=special):
            return []
        wanted = self._reference.encode(cleared, special=special)
        return self._named(text, lambda one: one.encode(cleared, special=special) != wanted)

    def text(self, ids: Sequence[int], decoded: str, *, skip: bool) -> list[RuntimeDefect]:
        """Return the defects by which an engine's text of ids differs from the tokenizer's; none: they do not explain it."""
        if not self._defects or decoded != self._as_run.decode(ids, skip=skip):
            return []
        wanted = self._reference.decode(ids, skip=skip)
        return [d for d in self._defects if d.as_run and self._with(d).decode(ids, skip=skip) != wanted]

    def _listen(self, encode: Callable[[str], list[int]], *, special: bool) -> None:
        """Take away the defects whose canary is dead: the engine differs by more than they say."""
        if not self._listened:
            self._listened = True
            self._defects = [
                d
                for d in self._defects
                if not d.canary or encode(d.canary) == self._reference.encode(d.canary, special=special)
            ]

    def _cleared(self, text: str) -> str:
        for defect in self._defects:
            text = defect.without(text) if defect.without else text
        return text

    def _named(self, text: str, differs: Callable[[ReferenceTokenizer], bool]) -> list[RuntimeDefect]:
        found = [d for d in self._defects if d.without and d.without(text) != text]
        found += [d for d in self._defects if d.as_run and differs(self._with(d))]
        return found

    def _with(self, defect: RuntimeDefect) -> ReferenceTokenizer:
        if defect not in self._alone:
            self._alone[defect] = self._reference.changed(*([defect.as_run] if defect.as_run else []))
        return self._alone[defect]

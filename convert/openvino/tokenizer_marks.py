"""Expressions (PCRE2) that bring combining marks into the order that a table of compositions needs.

Such a table finds whole decompositions: a letter and its marks in canonical order, with nothing between them. Unicode's
algorithm also orders the marks, and composes a letter with a mark that stands behind others.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Iterable

PASSES = 3
"""Times that a mark is moved in front of those of higher classes: enough for four marks in any order; no script needs more."""


@functools.cache
def out_of_order() -> tuple[str, str]:
    """Return an expression for a mark behind some of higher canonical classes, and what they become."""
    classes = _classes()
    ordered = sorted(classes)
    parts = [
        f"([{_ranges(code for higher in ordered[at + 1 :] for code in classes[higher])}]+)([{_ranges(classes[number])}])"
        for at, number in enumerate(ordered[:-1])
    ]
    return "(?|" + "|".join(parts) + ")", "$2$1"


@functools.cache
def apart(marks_before: int) -> tuple[str, str]:
    """Return an expression for a letter, marks that it does not compose with, and one that it does; and what they become.

    The marks are in canonical order; one of the same class keeps the two apart.

    Args:
        marks_before: marks that the letter has composed with before: 0 or 1.
    """
    classes = _classes()
    partners: dict[int, set[str]] = {}
    for letter, mark in _pairs():
        if len(letter) == 1 + marks_before:
            partners.setdefault(mark, set()).add(letter)
    marks = sorted(partners, key=lambda mark: (unicodedata.combining(chr(mark)), mark))
    numbers = sorted({unicodedata.combining(chr(mark)) for mark in marks})
    lower = {n: _ranges(code for other in classes if other < n for code in classes[other]) for n in numbers}
    numbers = [number for number in numbers if lower[number]]
    defined = "".join(f"(?<m{number}>[{lower[number]}]+)" for number in numbers)
    composed = "|".join(f"(?:{_letters(partners[mark])}){_ranges([mark])}" for mark in marks)
    cases = "|".join(
        f"({_letters(partners[mark])})((?&m{number}))({_ranges([mark])})"
        for mark in marks
        if (number := unicodedata.combining(chr(mark))) in numbers
    )
    behind = len(numbers)
    every = _ranges(code for codes in classes.values() for code in codes)
    expression = f"(?(DEFINE){defined})(?=.[{every}]{{{1 + marks_before}}})(?!{composed})(?|{cases})"
    return expression, "".join(f"${{{behind + at}}}" for at in (1, 3, 2))


def _letters(letters: Iterable[str]) -> str:
    """Return an expression for one of these letters, which have the same number of marks, at most one."""
    by_marks: dict[str, list[int]] = {}
    for letter in letters:
        by_marks.setdefault(letter[1:], []).append(ord(letter[0]))
    return "|".join(
        f"[{_ranges(codes)}]" + "".join(_ranges([ord(mark)]) for mark in marks) for marks, codes in by_marks.items()
    )


def _classes() -> dict[int, list[int]]:
    """Return canonical class → marks; the class 0 is left out."""
    found: dict[int, list[int]] = {}
    for code in range(0x300, 0x20000):
        number = unicodedata.combining(chr(code))
        if number:
            found.setdefault(number, []).append(code)
    return found


def _pairs() -> list[tuple[str, int]]:
    """Return (letter, decomposed, and a mark) of each composition of a letter with a mark."""
    found = []
    for code in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) != 2 or parts[0].startswith("<") or unicodedata.normalize("NFC", chr(code)) != chr(code):
            continue
        letter, mark = (int(part, 16) for part in parts)
        if unicodedata.combining(chr(mark)):
            found.append((unicodedata.normalize("NFD", chr(letter)), mark))
    return found


def _ranges(codes: Iterable[int]) -> str:
    """Write code points as the inside of a class of PCRE2."""
    spans: list[list[int]] = []
    for code in sorted(codes):
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\x{{{first:X}}}" + (f"-\\x{{{last:X}}}" if last > first else "") for first, last in spans)

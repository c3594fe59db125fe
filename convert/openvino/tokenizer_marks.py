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
"""Times that neighbouring marks are put in order: enough for four marks in any order; no script needs more."""


@functools.cache
def out_of_order() -> tuple[str, str]:
    """Return an expression for a mark behind one of a higher canonical class, and what the two become."""
    classes = _classes()
    ordered = sorted(classes)
    parts = [
        f"([{_ranges(code for higher in ordered[at + 1 :] for code in classes[higher])}])([{_ranges(classes[number])}])"
        for at, number in enumerate(ordered[:-1])
    ]
    return "(?|" + "|".join(parts) + ")", "$2$1"


@functools.cache
def apart() -> tuple[str, str]:
    """Return an expression for a letter, marks that it does not compose with, and one that it does; and what they become.

    The marks are in canonical order; one of the same class keeps the two apart.
    """
    classes = _classes()
    partners: dict[int, set[int]] = {}
    for letter, mark in _pairs():
        partners.setdefault(mark, set()).add(letter)
    marks = sorted(partners, key=lambda mark: (unicodedata.combining(chr(mark)), mark))
    numbers = sorted({unicodedata.combining(chr(mark)) for mark in marks})
    lower = {n: _ranges(code for other in classes if other < n for code in classes[other]) for n in numbers}
    numbers = [number for number in numbers if lower[number]]
    defined = "".join(f"(?<m{number}>[{lower[number]}]+)" for number in numbers)
    composed = "|".join(f"[{_ranges(partners[mark])}]{_ranges([mark])}" for mark in marks)
    cases = "|".join(
        f"([{_ranges(partners[mark])}])((?&m{number}))({_ranges([mark])})"
        for mark in marks
        if (number := unicodedata.combining(chr(mark))) in numbers
    )
    behind = len(numbers)
    every = _ranges(code for codes in classes.values() for code in codes)
    expression = f"(?(DEFINE){defined})(?=.[{every}])(?!{composed})(?|{cases})"
    return expression, "".join(f"${{{behind + at}}}" for at in (1, 3, 2))


def _classes() -> dict[int, list[int]]:
    """Return canonical class → marks; the class 0 is left out."""
    found: dict[int, list[int]] = {}
    for code in range(0x300, 0x20000):
        number = unicodedata.combining(chr(code))
        if number:
            found.setdefault(number, []).append(code)
    return found


def _pairs() -> list[tuple[int, int]]:
    """Return (letter, mark) of each composition of two that are not composed themselves."""
    found = []
    for code in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) != 2 or parts[0].startswith("<") or unicodedata.normalize("NFC", chr(code)) != chr(code):
            continue
        letter, mark = (int(part, 16) for part in parts)
        if unicodedata.combining(chr(mark)) and not unicodedata.decomposition(chr(letter)):
            found.append((letter, mark))
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

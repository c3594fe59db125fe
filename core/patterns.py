"""Regular expressions of users and recipes over the names of tensors: one may run for ever, so the worker looks (`worker`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import worker
from .errors import UsageError

_endless: dict[tuple[str, ...], worker.WorkerFault] = {}
"""Expressions that came to no end: several checks look for them, and each would wait as long again."""


def require_pattern(pattern: str, flag: str, shown: str, hint: str | None = None) -> None:
    """Raise UsageError if a text is not a regular expression.

    Args:
        pattern: the text.
        flag: the option that it was given to.
        shown: what was given to it, the expression and more.
        hint: what to write instead.
    """
    try:
        worker.ask("search", patterns=[pattern], names=[], ignore_case=True)
    except worker.WorkerFault as fault:
        raise UsageError(f"{flag} {shown!r} is not a regular expression: {fault}.", hint) from fault


def found(patterns: Sequence[str], names: Iterable[str], flag: str, *, ignore_case: bool = False) -> list[set[str]]:
    """Return for each expression the names that it is found in.

    Raises:
        UsageError: one is not a regular expression, or does not come to an end.
    """
    listed, asked = list(names), tuple(patterns)
    if not patterns:
        return []
    try:
        if asked in _endless:
            raise _endless[asked]
        places = worker.ask("search", patterns=list(asked), names=listed, ignore_case=ignore_case)
    except worker.WorkerFault as fault:
        if fault.limit:
            _endless[asked] = fault
        shown = repr(patterns[0]) if len(patterns) == 1 else f"{patterns[0]!r} or one of the {len(patterns) - 1} others"
        raise UsageError(
            f"{flag} {shown} cannot be looked for in the names of the tensors: {fault}.",
            "A repetition within a repetition, such as (a+)+, can be read in too many ways. Write it without.",
        ) from fault
    return [{listed[at] for at in some} for some in places]

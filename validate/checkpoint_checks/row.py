"""One assumption of ours about a checkpoint: what it is, what was found, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "assumed", "wrong"]
_SHOWN = 3


@dataclass(frozen=True)
class Row:
    """An assumption and its fate.

    Attributes:
        topic: "engine", "config", "tensors", "tokens", "template", "pictures" or "scheme".
        name: of the assumption within its topic.
        expected: what our code takes for granted.
        found: what the files say.
        status: "ok": they agree. "assumed": no file settles it, our value is used. "wrong": they contradict us, and a conversion
            would fail or make another model.
        note: the evidence for what is assumed; for what is wrong, what to do.
    """

    topic: str
    name: str
    expected: str
    found: str
    status: Status = "ok"
    note: str = ""


def judged(topic: str, name: str, expected: str, found: str, *, right: bool, note: str = "") -> Row:
    """Return a row that is either ok, and then needs no note, or wrong."""
    return Row(topic, name, expected, found, "ok" if right else "wrong", "" if right else note)


def some(names: Sequence[str]) -> str:
    """Write a list for a person: the first three, and how many there are beyond."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

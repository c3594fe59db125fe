"""What is asked of a run, and what is found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...core.errors import UsageError


@dataclass(frozen=True)
class Task:
    """So many tokens are read, and so many made; with `picture` the prompt is a question about it, however long that is."""

    read: int
    made: int
    picture: bool = False

    def __str__(self) -> str:
        """As in the tables of GLM-Edge: "1024/128"."""
        return f"picture, {self.read}/{self.made}" if self.picture else f"{self.read}/{self.made}"

    @classmethod
    def parse(cls, text: str) -> Task:
        """Read "1024/128". Raises UsageError."""
        read, slash, made = text.partition("/")
        if not (slash and read.isdecimal() and made.isdecimal() and int(read) > 0 and int(made) > 1):
            raise UsageError(
                f"{text!r} is not a task.", "Say tokens read and tokens made (two or more), for example 1024/128."
            )
        return cls(int(read), int(made))


@dataclass(frozen=True)
class Timing:
    """One run.

    Attributes:
        first_ms: from the prompt's ids to the first token, in milliseconds; with a picture, from its pixels.
        tokens_per_second: of the tokens after the first.
        vision_ms: of `first_ms` what the tower took, if it can be told apart.
        read: tokens of the prompt.
    """

    first_ms: float
    tokens_per_second: float
    read: int
    vision_ms: float | None = None


@dataclass(frozen=True)
class Row:
    """One task: medians of its runs, and the runs."""

    task: str
    first_ms: float
    tokens_per_second: float
    vision_ms: float | None
    runs: list[Timing]


@dataclass(frozen=True)
class Side:
    """The artifact, or its reference, in a process of its own.

    Attributes:
        framework: name and version of what runs it.
        stored_as: how its weights are stored.
        device: where it runs.
        load_seconds: until it could take a prompt, imports not counted.
        peak_bytes: the highest resident memory of the process, Python and mapped weights included.
        words_bytes: the same before a picture was shown, without the vision part; None: no picture was.
        rows: one a task.
    """

    framework: str
    stored_as: str
    device: str
    load_seconds: float
    peak_bytes: int
    words_bytes: int | None
    rows: list[Row]


@dataclass(frozen=True)
class Result:
    """Both sides; `reference` is None where it was not asked for or cannot be had, and `notes` says why."""

    artifact: Side
    reference: Side | None
    machine: dict[str, str]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, with the ratios: above 1 the artifact is better."""
        return {**asdict(self), "ratios": self.ratios()}

    def ratios(self) -> list[dict[str, Any]]:
        """Return for each task by how much the artifact is faster and smaller; empty without a reference."""
        if self.reference is None:
            return []
        memory = self.reference.peak_bytes / self.artifact.peak_bytes
        return [
            {
                "task": ours.task,
                "first": theirs.first_ms / ours.first_ms,
                "tokens_per_second": ours.tokens_per_second / theirs.tokens_per_second,
                "peak": memory,
            }
            for ours, theirs in zip(self.artifact.rows, self.reference.rows, strict=True)
        ]

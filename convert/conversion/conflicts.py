"""What stands against a run: a plan collects all of it, a run stops at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...core.errors import EdgeconvError, ExitCode, OutputError, UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Conflict:
    """One thing that stands against a run, and the exit code with which it would end."""

    message: str
    hint: str | None
    exit_code: ExitCode

    @classmethod
    def of(cls, error: EdgeconvError) -> Conflict:
        """Describe an error that a run would raise."""
        return cls(error.message, error.hint, ExitCode(error.exit_code))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"message": self.message, "hint": self.hint, "exit_code": int(self.exit_code)}

    def row(self) -> tuple[str, str]:
        """Label and value of the line that a person reads."""
        return "conflict", " ".join(filter(None, (self.message, self.hint)))


class Collector:
    """Collects the refusals of checks that do not depend on each other, or, for a run, lets the first one through."""

    def __init__(self, *, stops: bool) -> None:
        """Begin; `stops`: a refusal is raised where it is met."""
        self._stops = stops
        self.errors: list[EdgeconvError] = []

    def check(self, made: Callable[[], T]) -> T | None:
        """Return what `made` returns; None if it refuses an option or the output.

        What several checks meet in the same words is one refusal.
        """
        try:
            return made()
        except (UsageError, OutputError) as error:
            if self._stops:
                raise
            if all((known.message, known.hint) != (error.message, error.hint) for known in self.errors):
                self.errors.append(error)
            return None

    def stop(self) -> None:
        """End here if anything was refused: without it no plan can be made.

        Raises:
            UsageError: with every refusal in it.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise joined(self.errors)

    def conflicts(self) -> list[Conflict]:
        """Return what was refused, for a plan that can be made all the same."""
        return [Conflict.of(error) for error in self.errors]


def joined(errors: Sequence[EdgeconvError]) -> UsageError:
    """Make one error of several."""
    text = " ".join(f"{number}. {error.message}" for number, error in enumerate(errors, 1))
    hints = " ".join(f"{number}. {error.hint}" for number, error in enumerate(errors, 1) if error.hint)
    return UsageError(f"{len(errors)} conflicts: {text}", hints or None)


def exit_code(conflicts: Iterable[Conflict]) -> ExitCode:
    """Return what a dry run answers: the first conflict's code, 0 if there is none."""
    return next((conflict.exit_code for conflict in conflicts), ExitCode.OK)

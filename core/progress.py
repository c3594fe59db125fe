"""How long steps report: a protocol, so that the layers below the command line know no terminal."""

from typing import Protocol


class Task(Protocol):
    """One running step."""

    def advance(self, amount: int) -> None:
        """Say that `amount` more units (bytes, unless the step says otherwise) are done."""

    def finish(self) -> None:
        """Say that the step is over."""


class Progress(Protocol):
    """Receives what the work below has to tell a person."""

    def task(self, description: str, total: int | None = None) -> Task:
        """Begin a step of `total` units (None: unknown)."""

    def note(self, message: str) -> None:
        """Say one thing worth knowing about how the work is done (level: normal)."""

    def detail(self, message: str) -> None:
        """Say one thing that only `-v` shows."""


class _SilentTask:
    def advance(self, amount: int) -> None:
        pass

    def finish(self) -> None:
        pass


class Silent:
    """A Progress that says nothing: for libraries' callers and for tests."""

    def task(self, description: str, total: int | None = None) -> Task:
        """Give a task that nobody watches."""
        return _SilentTask()

    def note(self, message: str) -> None:
        """Drop it."""

    def detail(self, message: str) -> None:
        """Drop it."""

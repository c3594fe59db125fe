"""core.progress for a screen (bars) and for everything else (lines)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

from ..core.escape import terminal
from ..core.progress import Task

if TYPE_CHECKING:
    from rich.console import Console


class LineProgress:
    """Says which step begins, a line each: for logs and pipes."""

    def __init__(self, say: Callable[[str], None], *, verbose: bool) -> None:
        self._say = say
        self._verbose = verbose

    def task(self, description: str, total: int | None = None) -> Task:
        """Begin a step."""
        self._say(f"{description} …")
        return _Line()

    def note(self, message: str) -> None:
        """Say it."""
        self._say(message)

    def detail(self, message: str) -> None:
        """Say it if `-v` was given."""
        if self._verbose:
            self._say(message)


class _Line:
    def advance(self, amount: int) -> None:
        pass

    def finish(self) -> None:
        pass


class RichProgress:
    """Shows a bar for each running step; a finished step leaves one line behind."""

    def __init__(self, live: Progress, *, verbose: bool) -> None:
        self._live = live
        self._verbose = verbose

    def task(self, description: str, total: int | None = None) -> Task:
        """Begin a step."""
        return _Bar(self._live, self._live.add_task(terminal(description), total=total))

    def note(self, message: str) -> None:
        """Say it."""
        self._live.console.print(terminal(message))

    def detail(self, message: str) -> None:
        """Say it if `-v` was given."""
        if self._verbose:
            self._live.console.print(terminal(message), style="dim")


class _Bar:
    def __init__(self, live: Progress, task: TaskID) -> None:
        self._live = live
        self._task = task

    def advance(self, amount: int) -> None:
        self._live.advance(self._task, amount)

    def finish(self) -> None:
        task = next(task for task in self._live.tasks if task.id == self._task)
        if task.total is None:  # a spinner would turn for ever
            self._live.update(self._task, total=1, completed=1)
        else:
            self._live.update(self._task, completed=task.total)


@contextlib.contextmanager
def bars(console: Console, *, verbose: bool) -> Iterator[RichProgress]:
    """Show bars on the console while the body runs."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
    )
    with Progress(
        *columns, TimeElapsedColumn(), Remaining(), console=console, redirect_stdout=False, redirect_stderr=True
    ) as live:
        yield RichProgress(live, verbose=verbose)

"""A command line of edgeconv in this process, and what must hold of every one that is refused."""

from __future__ import annotations

import hashlib
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeconv.cli import main

from . import outcomes

LONGEST = 600
"""Characters of a message that somebody reads."""


@dataclass(frozen=True)
class Ran:
    """What a command line answered."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one sentence behind `error:`."""
        (found,) = re.findall(r"^error: (.*)$", self.err, re.M)
        return str(found)

    @property
    def hint(self) -> str:
        """What to do next; the last line of all."""
        found = re.search(r"^hint: (.*)\n\Z", self.err, re.M)
        assert found, self.err
        return found.group(1)

    @property
    def verdict(self) -> str:
        """What `validate` found."""
        (found,) = re.findall(r"^verdict: +(.*)$", self.out, re.M)
        return str(found)


class Bench:
    """Folders for one test: `model` is the caller's, `work` the working directory; and the command lines that run there."""

    def __init__(self, root: Path, capfd: pytest.CaptureFixture[str], title: str | None) -> None:
        self.root, self.work, self.temporary = root, root / "work", root / "tmp"
        self._capfd, self._title = capfd, title
        for folder in (self.work, self.temporary):
            folder.mkdir()

    def run(self, *arguments: object) -> Ran:
        """Run one, whatever comes of it."""
        self._capfd.readouterr()
        code = main.run([str(argument) for argument in arguments])
        return Ran(int(code), *self._capfd.readouterr())

    def refused(
        self, *arguments: object, says: str, code: int = 1, names: str = "", source: Path | None = None, out: str = ""
    ) -> Ran:
        """Run one that must be refused: one message with its hint, and nothing left behind or changed.

        Args:
            *arguments: the command line.
            says: expression for message and hint together.
            code: the exit code.
            names: expression for the file's name, which must be in one of the two.
            source: whose files must stay as they are.
            out: expression for the whole of stdout.
        """
        before = snapshot(source) if source else {}
        there = sorted(self.work.iterdir())
        ran = self.run(*arguments)
        assert ran.code == code, ran.err
        assert "Traceback" not in ran.err
        said = f"{ran.message}\n{ran.hint}"
        assert re.search(says, said), said
        assert re.search(names, said), f"no {names} in {said}"
        assert "Unexpected" not in ran.message, "an error that nobody foresaw"
        assert len(said) < LONGEST
        assert re.fullmatch(out, ran.out, re.S), ran.out
        assert sorted(self.work.iterdir()) == there, "something was left behind"
        assert [p for p in self.temporary.rglob("*") if p.is_file()] == [], "a temporary file was left behind"
        assert not source or snapshot(source) == before, "the source has changed"
        self.record(str(arguments[0]), ran.code, ran.message, ran.hint)
        return ran

    def record(self, command: str, code: int, message: str, hint: str = "") -> None:
        """Compare an answer with the recorded one; without a marker nothing is recorded."""
        if self._title:
            outcomes.check(self._title, command, code, self._plain(message), self._plain(hint))

    def _plain(self, text: str) -> str:
        for folder in (self.work, self.root, self.root.parent):
            text = text.replace(f"{folder}/", "")
        return re.sub(r"(?<![\w.])\d[\d.]* (?=[MG]B\b)", "N ", text)  # what a disk has free changes


def snapshot(folder: Path) -> dict[str, str]:
    """Return the digest of every file of a folder, or of a file; of a link what it says."""
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    return {
        str(p.relative_to(folder)): str(p.readlink()) if p.is_symlink() else hashlib.sha256(p.read_bytes()).hexdigest()
        for p in paths
        if p.is_file() or p.is_symlink()
    }


@contextmanager
def bench(root: Path, capfd: pytest.CaptureFixture[str], title: str | None) -> Iterator[Bench]:
    """Set the process up for command lines: directory, temporary files, caches, no Hub; and put it back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    with pytest.MonkeyPatch.context() as patch:
        made = Bench(root, capfd, title)
        patch.chdir(made.work)
        patch.setattr(tempfile, "tempdir", str(made.temporary))
        for name, value in environment(root).items():
            patch.setenv(name, value)
        yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)


def environment(root: Path) -> dict[str, str]:
    """Return the variables that keep a command inside `root`, also for one in a process of its own."""
    return {
        "TMPDIR": str(root / "tmp"),
        "HF_HOME": str(root / "hf"),
        "EDGECONV_CACHE": str(root / "cache"),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
    }


Refused = Callable[..., Ran]

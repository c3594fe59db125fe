"""Watches a command from outside its code, and stops it at a named point of its life.

Points are what Python tells every audit hook (files opened for writing, renames, folders made and removed, processes started),
the steps that the progress reports, and fsync. Runs inside the command's process, before the command does.
"""

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_RANDOM = re.compile(r"(\.partial-|\.edgeconv-|float32-|edgeconv-genai-)[0-9a-f]{16}|(?<=/tmp/)[a-z0-9_]+")
_SCRATCH = re.compile(r"\b(edgeconv-(?!genai)[a-z]+-)[0-9a-f]{16}")
"""Of which the name tells what it is for: it stays in the point's."""
_ONE_PATH = {
    "os.mkdir": "mkdir",
    "os.remove": "remove",
    "os.rmdir": "rmdir",
    "shutil.rmtree": "rmtree",
    "tempfile.mkdtemp": "mkdtemp",
    "tempfile.mkstemp": "mkstemp",
}


class Watch:
    """Calls `reached` with the name of each point, once for each name."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._seen: set[str] = set()
        self._busy = threading.local()

    def install(self) -> None:
        """From now on; there is no way back."""
        from edgeconv.cli import progress

        sys.addaudithook(self._audit)
        fsync, task = os.fsync, progress.LineProgress.task

        def watched_fsync(descriptor: int) -> None:
            self._at("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
            fsync(descriptor)

        def watched_task(own: Any, description: str, total: int | None = None) -> Any:
            self._at("task", description)
            made = task(own, description, total)
            finish = made.finish

            def watched_finish() -> None:
                finish()
                self._at("finished", description)

            made.finish = watched_finish
            return made

        os.fsync = watched_fsync
        progress.LineProgress.task = watched_task  # type: ignore[method-assign]

    def reached(self, name: str) -> None:
        """To be overridden."""

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & _WRITING and not isinstance(path, int):
                self._at("write", path)
        elif event == "os.rename":
            self._at("rename", arguments[1])
        elif event == "subprocess.Popen":
            self._at("start", str(arguments[1][3:4]))
        elif event in _ONE_PATH and (event not in ("os.remove", "os.rmdir") or arguments[1] == -1):
            self._at(_ONE_PATH[event], arguments[0])  # not one by one inside a folder that is removed as a whole

    def _at(self, kind: str, detail: Any) -> None:
        if getattr(self._busy, "here", False):
            return
        self._busy.here = True
        try:
            text = os.fsdecode(detail) if isinstance(detail, bytes | os.PathLike) else str(detail)
            if kind not in ("task", "finished", "start"):
                text = str(Path(self._root) / text)
            inside = text.startswith(self._root)
            if kind in ("task", "finished", "start") or inside:
                own = _SCRATCH.sub(r"\1*", text.removeprefix(self._root))
                name = f"{kind} {_RANDOM.sub('*', own).lstrip('/')}"
                if name not in self._seen:
                    self._seen.add(name)
                    self.reached(name)
        finally:
            self._busy.here = False


class Recorder(Watch):
    """Appends every point to a file."""

    def __init__(self, root: Path, file: Path) -> None:
        super().__init__(root)
        self._out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def reached(self, name: str) -> None:
        os.write(self._out, f"{name}\n".encode())


class Stopper(Watch):
    """Sends this process, or its whole group, a signal just before a point."""

    def __init__(self, root: Path, name: str, number: int, *, group: bool) -> None:
        super().__init__(root)
        self._name, self._signal, self._group = name, signal.Signals(number), group

    def reached(self, name: str) -> None:
        if name == self._name:
            (os.killpg if self._group else os.kill)(os.getpid(), self._signal)

"""One trial: a command is stopped, once or several times over, then run to its end; and what must hold after each of these."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..hub.conftest import TOKEN
from ..hub.server import HubServer, Reply, Request
from .commands import SMALL, Command, OpenVINO, Stage

STRAY = re.compile(r"\.partial-|\.edgeconv-(?!cache$)|float32-|\bedgeconv-[a-z]+-|\.partial$")
"""Names of what is not finished."""
FOREIGN = re.compile(r"[a-z0-9_]{8}")
"""What Python's `tempfile` leaves in TMPDIR when it is killed while it tries the folder out."""


@dataclass(frozen=True)
class Stop:
    """When and how a command is stopped.

    Attributes:
        signal: what is sent.
        point: before this point of `stops`; or "request N" and "reply N": before and after the Hub has done the Nth request.
        after: or so many seconds after the start.
        group: sent to every process of the command, as a terminal does, or to the main one alone.
        fresh: in a process started anew, as a user does, and not forked.
    """

    signal: signal.Signals
    point: str = ""
    after: float = 0.0
    group: bool = False
    fresh: bool = False

    def __str__(self) -> str:
        where = self.point or f"{self.after:.3f} s{' (fresh process)' if self.fresh else ''}"
        return f"{self.signal.name} to the {'group' if self.group else 'process'} at {where}"


class KillingHub(HubServer):
    """The tests' Hub, which calls somebody before and after it does what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens.add(TOKEN)
        self.watch: Any = None
        self.count = 0
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign] - a killed client is none

    def answer(self, request: Request) -> Reply:
        self.count += 1
        number = self.count
        self._tell(f"request {number}")
        reply = super().answer(request)
        self._tell(f"reply {number}")
        return reply

    def _tell(self, point: str) -> None:
        if self.watch:
            self.watch(point)


@dataclass
class Ended:
    """How a process ended, what it wrote to stderr, and the points that it passed, if that was asked for."""

    code: int
    said: str
    seconds: float
    points: list[str] = field(default_factory=list)


class Forker:
    """The process that forks commands (`zygote.py`), on this side."""

    def __init__(self, root: Path, hub: KillingHub) -> None:
        self.hub = hub
        self._environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("HF_", "EDGECONV_", "GITHUB"))
            },
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(root / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        line = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
        self._process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment
        )
        assert self._read() == {"ready": True}
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.communicate(timeout=60)

    def run(self, root: Path, arguments: list[str], stop: Stop | None = None, *, record: bool = False) -> Ended:
        """Run a command line in a folder, and stop it if that is asked for."""
        with self.started(root, arguments, stop, record=record) as (_, ended):
            pass
        return ended

    @contextlib.contextmanager
    def started(
        self, root: Path, arguments: list[str], stop: Stop | None = None, *, record: bool = False
    ) -> Iterator[tuple[int, Ended]]:
        """Give a running command's process id; its end is waited for on the way out."""
        log, points = root.with_suffix(".log"), root.with_suffix(".points")
        log.unlink(missing_ok=True)
        for place in ("tmp", "cache"):
            (root / place).mkdir(parents=True, exist_ok=True)
        own = {"TMPDIR": str(root / "tmp"), "EDGECONV_CACHE": str(root / "cache")}
        begun, ended = time.monotonic(), Ended(0, "", 0.0)
        if stop and stop.fresh:
            process, wait = self._fresh(root, arguments, own, log)
        else:
            process, wait = self._forked(root, arguments, own, log, stop, points if record else None)
        with self._stopping(process, stop):
            yield process, ended
            ended.code = wait()
        ended.seconds = time.monotonic() - begun
        ended.said = log.read_text("utf-8", "replace")
        ended.points = points.read_text().splitlines() if record else []

    def begin(self, root: Path, arguments: list[str]) -> subprocess.Popen[str]:
        """Start a command line in a process of its own, with stderr in a pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "edgeconv", *arguments], cwd=root, env=self._environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _forked(
        self, root: Path, arguments: list[str], own: dict[str, str], log: Path, stop: Stop | None, record: Path | None
    ) -> tuple[int, Any]:
        inside = stop and stop.point and not stop.point.startswith(("request ", "reply "))
        asked = {
            "root": str(root), "arguments": arguments, "environment": own, "log": str(log),
            "record": str(record) if record else None, "stop": stop.point if stop and inside else None,
            "signal": int(stop.signal) if stop else 0, "group": bool(stop and stop.group),
        }  # fmt: skip
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._read()["pid"]), lambda: int(self._read()["code"])

    def _fresh(self, root: Path, arguments: list[str], own: dict[str, str], log: Path) -> tuple[int, Any]:
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "edgeconv", *arguments], cwd=root, env={**self._environment, **own},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        return process.pid, process.wait

    @contextlib.contextmanager
    def _stopping(self, process: int, stop: Stop | None) -> Iterator[None]:
        """Send the signal from here: at a time, or when the Hub reports a request."""

        def send() -> None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                (os.killpg if stop and stop.group else os.kill)(process, stop.signal if stop else 0)

        def heard(point: str) -> None:
            if stop and point == stop.point:
                send()

        self.hub.count, self.hub.watch = 0, heard
        timer = threading.Timer(stop.after, send) if stop and not stop.point else None
        if timer:
            timer.start()
        yield
        if timer:
            timer.cancel()
            timer.join()
        self.hub.watch = None

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))


class Bench:
    """Runs trials, and keeps what an undisturbed run of each command makes."""

    def __init__(self, root: Path, forker: Forker) -> None:
        self.stage, self.forker, self._root = Stage(root, forker.hub), forker, root
        self._made: dict[str, tuple[Any, Ended]] = {}
        self._count = 0
        self._make_artifact()
        self._inputs = self.stage.inputs()

    def _make_artifact(self) -> None:
        """By the program itself, undisturbed: what `validate` and `publish` are given."""
        command, root = OpenVINO(self.stage), self._root / "made"
        for arguments in (
            command.arguments(root),
            ["validate", "out", "--suite", str(self.stage.words), "--quick", *SMALL, "--report", "out/parity"],
        ):
            ended = self.forker.run(root, arguments)
            assert ended.code == 0, ended.said
        (root / "out").rename(self.stage.artifact)

    def undisturbed(self, command: Command) -> tuple[Any, Ended]:
        """Return what a run makes that nobody disturbs, and the points of its life; run once."""
        if command.name not in self._made:
            root = self._fresh(command)
            ended = self.forker.run(root, command.arguments(root), record=True)
            assert ended.code == 0, ended.said
            ended.points += [
                f"{kind} {n}" for n in range(1, self.forker.hub.count + 1) for kind in ("request", "reply")
            ]
            made = command.result(root)
            assert made is not None
            self._made[command.name] = made, ended
            self._require_clean(root)
        return self._made[command.name]

    def trial(self, command: Command, stops: list[Stop]) -> list[Ended]:
        """Stop the command again and again, then let it end.

        Raises:
            AssertionError: something half done under the final name, something left behind, a source that has changed, a
                traceback, an exit code that is not the documented one, or another result.
        """
        expected, _ = self.undisturbed(command)
        root = self._fresh(command)
        stopped = []
        for stop in stops:
            try:
                before, left = command.result(root), self._strays(root)
                ended = self.forker.run(root, command.arguments(root), stop)
                self._check_stopped(command, root, stop, ended, before, expected)
                # in the cache a thread may be writing as the process ends; the next run sweeps it
                new = {name for name in self._strays(root) - left if not name.startswith("cache/")}
                assert stop.signal == signal.SIGKILL or not new, f"left behind: {sorted(new)}"
            except AssertionError as error:
                raise AssertionError(f"{command.name}, {stop}: {error}") from error
            stopped.append(ended)
        before = command.result(root)
        ended = self.forker.run(root, command.arguments(root))
        after = ", ".join(map(str, stops))
        assert command.again(ended.code, ended.said, before), f"{command.name}, rerun after {after}: {ended.said}"
        assert command.result(root) == expected, f"{command.name}: another result after {after}"
        self._require_clean(root)
        assert self.stage.inputs() == self._inputs, f"{command.name}: the source has changed after {after}"
        shutil.rmtree(root)
        return stopped

    def _check_stopped(
        self, command: Command, root: Path, stop: Stop, ended: Ended, before: Any, expected: Any
    ) -> None:
        expected_codes = {
            signal.SIGKILL: (-signal.SIGKILL,),
            signal.SIGTERM: (143,),
            signal.SIGINT: (130,),
        }[signal.Signals(stop.signal)]
        # before our first line, or behind our last: the system ends the process, for a shell with the same code
        outside = ended.code == -stop.signal and (not ended.said or command.result(root) == expected)
        # 0 or a refusal: it had ended by itself, or the run before it had made everything already
        done = ended.code == 0 or command.again(ended.code, ended.said, before)
        assert ended.code in expected_codes or outside or done, f"exit code {ended.code}: {ended.said}"
        assert "Traceback" not in ended.said, ended.said
        assert "Exception ignored" not in ended.said, ended.said
        self._require_all_or_nothing(command, root, before, expected)
        assert self.stage.inputs() == self._inputs, "the source has changed"

    def _require_all_or_nothing(self, command: Command, root: Path, before: Any, expected: Any) -> None:
        found = command.result(root)  # asserts that what is there is whole
        if isinstance(expected, tuple):  # a unit of several stages: each is all or nothing
            old = before or (None,) * len(expected)
            for got, was, will in zip(found or old, old, expected, strict=True):
                assert got in (was, will), (
                    f"a stage's result is neither the old one nor the new one: {_apart(got, will)}"
                )
        else:
            old = (before,) if command.lasting else (before, None)
            assert found in (*old, expected), "neither the old result nor the new one"

    def _fresh(self, command: Command) -> Path:
        self._count += 1
        root = self._root / f"t{self._count}"
        root.mkdir()
        command.prepare(root)
        return root

    def _require_clean(self, root: Path) -> None:
        stray = self._strays(root)
        assert not stray, f"left behind: {sorted(stray)}"

    def _strays(self, root: Path) -> set[str]:
        """What is not finished, by name; after a SIGKILL it may be there until the next run comes to it."""
        unfinished = {path for path in root.rglob("*") if STRAY.search(path.name)}
        temporary = {path for path in (root / "tmp").rglob("*") if not FOREIGN.fullmatch(path.name)}
        return {str(path.relative_to(root)) for path in unfinished | temporary}


def _apart(first: object, second: object) -> list[str]:
    texts = [json.dumps(value, indent=1, sort_keys=True).splitlines() for value in (first, second)]
    return list(difflib.unified_diff(*texts, lineterm="", n=1))[:40]

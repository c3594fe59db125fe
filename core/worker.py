"""A process of its own for what strangers' files make a library do: it has little time, little memory, and can be killed.

A chat template, a regular expression, a tokenizer's normalizer and openvino_genai's Jinja are programs of strangers.
One operation of theirs may run for ever inside C code, where neither Ctrl-C nor a limit in Python is heard. So they
run in `worker_child`, which the system itself limits: address space (RLIMIT_AS, beyond what the process has already),
CPU (a timer whose signal kills, and RLIMIT_CPU behind it), and no file may be written. This side waits with a
deadline, and kills.

The process is started when it is first asked something (about 60 ms of CPU), without `site`, torch or any environment
variable that a secret could be in, and is asked again and again until it has to be killed. Both sides talk in length-
prefixed JSON: nothing that comes back can be more than data.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SECONDS = 10.0
"""CPU that one task may take; a real one takes milliseconds."""
MEMORY = 1 << 30
"""Bytes of address space that a task may take beyond what its process has."""
ANSWER = 256 << 20
"""Bytes of the longest answer."""
_PATIENCE = 6.0
"""Wall time for each second of CPU: other programs want the processor too."""
_LEAST = 20.0
"""Seconds of wall time that a task has at least: the first one waits for a start."""
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "TMPDIR", "OMP_NUM_THREADS")
"""Variables that the process gets; a token is in none of them."""
_OUT_OF_TIME = (signal.SIGPROF, signal.SIGXCPU)
_STDERR = 4096


class WorkerFault(Exception):  # noqa: N818 - the task's, not ours
    """A task failed; the message says why, without a full stop.

    Attributes:
        limit: it ran against a limit (time, memory, depth), or ended the process; otherwise it only raised an error.
    """

    def __init__(self, message: str, *, limit: bool) -> None:
        super().__init__(message)
        self.limit = limit


class Worker:
    """One process, started when it is asked something, and anew after it was killed. Threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._life = -1

    def ask(self, task: str, *, seconds: float | None = None, memory: int | None = None, **content: Any) -> Any:
        """Let the process do a task of `worker_child`.

        Args:
            task: its name.
            seconds: of CPU; None: `SECONDS`.
            memory: bytes beyond what the process has; None: `MEMORY`.
            **content: what the task takes, as JSON.

        Raises:
            WorkerFault: it failed.
        """
        seconds, memory = SECONDS if seconds is None else seconds, MEMORY if memory is None else memory
        asked = {"task": task, "seconds": seconds, "memory": memory, "content": content}
        try:
            message = json.dumps(asked).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise WorkerFault(f"it was given what is not JSON: {error}", limit=False) from error
        with self._lock:
            try:
                answer = self._exchange(message, seconds, memory)
            except BaseException:  # Ctrl-C too: whatever it was doing, it is over
                self.close()
                raise
            if answer.get("limit"):
                self.close()  # its memory is fragmented, or its stack was used up
        if "fault" in answer:
            raise WorkerFault(str(answer["fault"]), limit=bool(answer.get("limit")))
        return answer.get("value")

    def together(self) -> threading.RLock:
        """Return what keeps other threads' tasks out between several of one's own, as a context."""
        return self._lock

    def close(self) -> None:
        """Kill the process, if there is one of ours."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        os.close(self._life)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with contextlib.suppress(OSError):  # what was not sent yet has no reader
                    pipe.close()

    def _exchange(self, message: bytes, seconds: float, memory: int) -> dict[str, Any]:
        process = self._started()
        end = time.monotonic() + max(_LEAST, seconds * _PATIENCE)
        answer, said = _talk(process, len(message).to_bytes(8, "little") + message, end)
        if answer is not None:
            found = json.loads(answer)
            return found if isinstance(found, dict) else {"fault": "it gave no answer", "limit": True}
        if time.monotonic() >= end:
            raise WorkerFault(_too_long(seconds), limit=True)
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:  # it said more than anybody wants to hear, or closed its end
            raise WorkerFault("it gives no answer", limit=True) from None
        raise WorkerFault(_why(process.returncode, said, seconds, memory), limit=True)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner != os.getpid():
            self._process = None  # a forked process shares the pipes with its parent, whose they are
            os.close(self._life)
        if self._process is not None and self._process.poll() is not None:
            self.close()  # the system's memory killer, for one, may take it between two tasks
        if self._process is None:
            self._owner = os.getpid()
            self._process, self._life = _start()
            _started.append(self)
        return self._process


def _start() -> tuple[subprocess.Popen[bytes], int]:
    """Return the process, and the descriptor whose end is its end."""
    paths = [str(Path(path).resolve()) for path in sys.path if path and Path(path).is_absolute()]
    child = Path(__file__).with_name("worker_child.py")
    # nothing is written to this pipe: its end says to the process that this side has ended, however it did
    life, ours = os.pipe()
    # -I: neither the folder one stands in nor PYTHON* counts; -S: no .pth file of site-packages runs
    command = [sys.executable, "-I", "-S", str(child), str(life), json.dumps(paths)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, cwd="/",
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | {"ORT_DISABLE_TELEMETRY": "1"},
            start_new_session=True,  # a Ctrl-C of the terminal is for this side, which kills
            pass_fds=(life,),
        )  # fmt: skip
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(life)
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
    return process, ours


def _talk(process: subprocess.Popen[bytes], message: bytes, end: float) -> tuple[bytes | None, bytes]:
    """Send a message and return the answer, None if there is none, and the last of what stderr said.

    Python's `poll` returns to a signal's handler, so Ctrl-C is heard while this waits.
    """
    assert process.stdin
    assert process.stdout
    assert process.stderr
    to, out, err = (pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr))
    waiting = select.poll()
    for descriptor, event in ((to, select.POLLOUT), (out, select.POLLIN), (err, select.POLLIN)):
        waiting.register(descriptor, event)
    rest, got, said = memoryview(message), bytearray(), b""
    while time.monotonic() < end:
        for descriptor, _ in waiting.poll(max(1, int((end - time.monotonic()) * 1000))):
            if descriptor == to:
                try:
                    rest = rest[os.write(to, rest[: 1 << 16]) :]
                except BrokenPipeError:
                    rest = rest[:0]
                if not rest:
                    waiting.unregister(to)
                continue
            part = os.read(descriptor, 1 << 16)
            if descriptor == err:
                said = (said + part)[-_STDERR:]
                if not part:
                    waiting.unregister(err)
                continue
            got += part
            length = int.from_bytes(got[:8], "little")
            if not part or (len(got) >= 8 and length > ANSWER):
                return None, said + _rest(err)
            if len(got) >= 8 + length:
                return bytes(got[8 : 8 + length]), said
    return None, said


def _rest(descriptor: int) -> bytes:
    """Return what a process that is dead, or about to be, has said last."""
    try:
        return os.read(descriptor, _STDERR)
    except OSError:  # nothing yet
        return b""


def _too_long(seconds: float) -> str:
    return f"it runs for more than {seconds:g} s"


def _why(code: int, said: bytes, seconds: float, memory: int) -> str:
    """Return how a process ended that gave no answer."""
    if -code in _OUT_OF_TIME:
        return _too_long(seconds)
    if b"memory allocation" in said or b"bad_alloc" in said:
        return f"it takes more than {memory >> 20} MB"
    if code < 0:
        return f"it ended its process by {signal.Signals(-code).name}"
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return f"it ended its process ({lines[-1][:200].rstrip('.') if lines else code})"


_started: list[Worker] = []


@atexit.register
def _close_all() -> None:
    for worker in _started:
        worker.close()


_own = Worker()


def ask(task: str, **content: Any) -> Any:
    """Ask the worker that all of the process shares. Raises WorkerFault."""
    return _own.ask(task, **content)

"""The other side of `worker`: a bare Python process that does one task after another, within limits that the system keeps.

It is run by its path, as `python -I -S worker_child.py LIFE PATHS`, and imports nothing of edgeconv but its neighbors
`*_task.py` (and foreign_code.py), and no library before a task needs it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

TASKS = {
    "render": "template_task",
    "compile": "template_task",
    "same": "template_task",
    "names": "template_task",
    "search": "pattern_task",
    "tokenizer": "tokenizer_task",
    "genai": "genai_task",
    "picture": "picture_task",
    "picture_rows": "picture_task",
    "pixels_facts": "pixels_task",
    "pixels_begin": "pixels_task",
    "pixels_rows": "pixels_task",
    "pixels": "pixels_task",
    "pixels_part": "pixels_task",
}
"""Task → the module beside this one that has a function of its name."""


def main() -> None:
    """Answer until stdin ends."""
    life, paths = int(sys.argv[1]), json.loads(sys.argv[2])
    _end_with(life)
    sys.path.extend(path for path in paths if path not in sys.path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and decides
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the timer kills, whatever code runs
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while message := _message(source):
        answer = json.dumps(_done(json.loads(message))).encode()
        answers.write(len(answer).to_bytes(8, "little") + answer)
        answers.flush()


def _message(source: BinaryIO) -> bytes:
    length = source.read(8)
    return source.read(int.from_bytes(length, "little")) if len(length) == 8 else b""


def _done(asked: dict[str, Any]) -> dict[str, Any]:
    """Do a task within its limits; whatever it raises is an answer."""
    memory, seconds = asked["memory"], asked["seconds"]
    try:
        task = _task(asked["task"])  # its libraries are ours: they are loaded before the limits count
        _limit(memory, seconds)
        return {"value": task(**asked["content"])}
    except MemoryError:
        _limit(None, 0)
        return {"fault": f"it takes more than {memory >> 20} MB", "limit": True}
    except OverflowError as error:
        return {"fault": _sentence(error), "limit": True}
    except RecursionError:  # Python also says at what, which is another thing each time
        return {"fault": "maximum recursion depth exceeded", "limit": True}
    except Exception as error:  # noqa: BLE001 - it is a program: it may raise anything, and that is its fault
        return {"fault": _sentence(error), "limit": False}
    except BaseException as error:  # noqa: BLE001 - a panic of Rust is one
        return {"fault": f"a library panics over it: {_sentence(error)}", "limit": True}
    finally:
        _limit(None, 0)


def _task(name: str) -> Callable[..., Any]:
    module = _module(TASKS[name])
    function: Callable[..., Any] = getattr(module, name)
    return function


_modules: dict[str, ModuleType] = {}


def _module(name: str) -> ModuleType:
    """Load a neighbor by its path: the package edgeconv, whose folder it lies in, need not be importable here."""
    if name not in _modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _modules[name] = module
    return _modules[name]


def _limit(memory: int | None, seconds: float) -> None:
    """Set the limits; without `memory` and with 0 seconds there are none."""
    most = resource.RLIM_INFINITY if memory is None else _address_space() + memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard) if memory is not None else hard
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime)
    soft = spent + int(seconds) + 5 if seconds else resource.RLIM_INFINITY
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _address_space() -> int:
    """Return the bytes of this process's address space; 4 GiB, more than it has, where the system does not say so in this way."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 4 << 30


def _sentence(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text[:300].rstrip(".")


def _end_with(life: int) -> None:
    """Let the system end this process, whatever code runs in it, when nobody holds the other end of a pipe any more.

    The parent's death by itself (PR_SET_PDEATHSIG) is that of the thread which started this process, and comes too early.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)  # which ends the process
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


if __name__ == "__main__":
    main()

"""The last step of a conversion: the runtime that the artifact is for loads it and makes one token, before it gets its name.

That finds what no comparison of files does (a config that a runtime cannot parse, a tensor that it does not know). It runs in a
process of its own, and costs a load: 3 seconds for a small model in openvino_genai, half a second in llama.cpp. It is left out
where the runtime is not installed, and where the model would not fit: a conversion streams in a fraction of the memory that
loading takes, and must not fail, or push the machine into swap, where it would have been possible without. A runtime maps the
file and lays the weights out anew beside it, so that one and a half times to three times the artifact must be free
(`Runner.copies`).
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core import own_process
from ...core.errors import ConversionError
from ...core.progress import Progress

VARIABLE = "EDGECONV_SMOKE_TEST"
"""0: not unless an option asks for it; for CI, where thousands of small models are converted."""
_OWN = 400 << 20
"""Bytes of a runtime, its libraries and its tokenizer."""
_PROGRAM = "edgeconv.runtimes.smoke"
_SECONDS = 1800.0
"""After which a runtime is taken to hang."""


@dataclass(frozen=True)
class Runner:
    """The runtime that a format is for.

    Attributes:
        module: to import.
        name: for people.
        copies: peak of all memory of its process, mapped files too, in sizes of the artifact; Qwen2.5-Coder-0.5B measured 1.8 in
            openvino_genai, 1.3 in llama.cpp and 2.5 in onnxruntime.
    """

    module: str
    name: str
    copies: float


@dataclass(frozen=True)
class Smoke:
    """What became of it.

    Attributes:
        status: "passed", "skipped", or in a plan "planned".
        runtimes: what made its token, with versions.
        reason: why it was left out; empty otherwise.
        seconds: that it took; no part of the conversion's.
    """

    status: str
    runtimes: tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "status": self.status,
            "runtimes": list(self.runtimes),
            "reason": self.reason or None,
            "seconds": round(self.seconds, 3),
        }

    def describe(self) -> str:
        """One line for a person."""
        if self.status == "skipped":
            return f"left out: {self.reason}"
        who = ", ".join(self.runtimes)
        return f"{who} loads the result and makes a token" + (
            f", {self.seconds:.1f} s" if self.status == "passed" else ""
        )


def planned(asked: bool | None, runner: Runner, output_bytes: int) -> Smoke:
    """Say whether it will be done.

    Args:
        asked: by the user; None: as VARIABLE says, else yes.
        runner: what would load it.
        output_bytes: of the artifact.
    """
    wanted = os.environ.get(VARIABLE, "1") != "0" if asked is None else asked
    if not wanted:
        return Smoke("skipped", reason="not asked for")
    if importlib.util.find_spec(runner.module) is None:
        return Smoke("skipped", reason=f"{runner.name} is not installed")
    needed, free = int(runner.copies * output_bytes) + _OWN, available()
    if free is not None and needed > free:
        return Smoke(
            "skipped", reason=f"loading takes about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"
        )
    return Smoke("planned", (runner.name,))


def run(found: Smoke | None, target: str, paths: Sequence[Path], progress: Progress) -> Smoke | None:
    """Load what lies in a staging folder, and make one token.

    Args:
        found: what was planned; anything but "planned" is returned as it is.
        target: the format's name.
        paths: what is to be opened.
        progress: reports it.

    Raises:
        ConversionError: the runtime does not load it, or falls over it; with its own sentence.
    """
    if found is None or found.status != "planned":
        return found
    task = progress.task(f"Trying the result in {found.runtimes[0]}", 1)
    started = time.perf_counter()
    try:
        made = own_process.run(_PROGRAM, target, *paths, seconds=_SECONDS).splitlines()
    except own_process.FallenError as fallen:
        raise _failed(found.runtimes[0], str(fallen)) from fallen
    task.advance(1)
    task.finish()
    return Smoke("passed", tuple(made), seconds=time.perf_counter() - started)


def _failed(name: str, said: str) -> ConversionError:
    return ConversionError(
        f"{name} cannot use what was written: {said}.",
        "Nothing was kept. --no-smoke-test writes it all the same; other runtimes may take it.",
    )


def available() -> int | None:
    """Return the bytes of memory that are free or can be freed, within the limit of a container; None if that is unknown."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limit = Path("/sys/fs/cgroup/memory.max").read_text("utf-8").strip()
        if limit.isdecimal():
            used = int(Path("/sys/fs/cgroup/memory.current").read_text("utf-8"))
            cached = dict(line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text("utf-8").splitlines())
            found.append(int(limit) - used + int(cached.get("inactive_file", 0)))
    except (OSError, ValueError, IndexError):
        pass  # not Linux, or no container
    return min(found, default=None)

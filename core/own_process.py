"""What a file may make a library fall over runs in a process of its own, which the library may end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys


class FallenError(Exception):
    """The process did not come to its end; the text is why, without a stop: its own last sentence, or an assertion's."""


class HangingError(FallenError):
    """It did not end in time."""


def run(module: str, *arguments: object, seconds: float) -> str:
    """Run a module of ours with this interpreter, and return what it wrote to stdout.

    Args:
        module: by its whole name; it ends with 0, or says on stderr what is wrong.
        *arguments: texts and paths.
        seconds: of wall time, after which it is taken to hang.

    Raises:
        HangingError: it does not end in time.
        FallenError: it ended otherwise.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        module,
        *map(str, arguments),
    ]  # -P: nothing is imported from where one stands
    # a failed assertion of llama.cpp would call gdb
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, env=environment,
            stdin=subprocess.DEVNULL, timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise HangingError(f"it made no token in {seconds / 60:g} minutes") from error
    if done.returncode:
        raise FallenError(_said(done.stderr, done.returncode).rstrip("."))
    return done.stdout


def _said(stderr: str, code: int) -> str:
    """Return a library's own sentence: the last, or that of the assertion that ended it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    fatal = next((line for line in lines if "ASSERT" in line or "fatal" in line), None)
    if code < 0:
        name = signal.Signals(-code).name
        return f"it ended by {name}" + (f": {fatal or lines[-1]}" if lines else "")
    return fatal or (lines[-1] if lines else f"it ended with {code}")

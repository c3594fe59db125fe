"""The checks that hold templates and tokenizers against each other, in a process of their own while this one reads the weights.

They keep one core busy and need no torch, without which transformers loads four times as fast; torch's and transformers' own
modules take this process as long. Where transformers is loaded already, or the tokenizer is small, there is nothing to gain.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from ..convert.checkpoint import Checkpoint
from ..convert.open_checkpoint import open_checkpoint
from ..core.foreign_code import block_optional_packages
from ..core.lifetime import end_with
from ..core.progress import Progress, Silent
from .formats import Artifact, open_artifact
from .report.model import Check

_LARGE = 1 << 20
"""Bytes of a tokenizer's files from which a process is worth starting."""


def here(artifact: Artifact, checkpoint: Checkpoint, progress: Progress) -> list[Check]:
    """Climb them in this process."""
    return [artifact.template(checkpoint, progress), artifact.tokens(checkpoint, progress)]


class FirstChecks:
    """The process, once it is started; leaving the context ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> FirstChecks:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        if self._log:
            self._log.close()

    @property
    def started(self) -> bool:
        """True if `take` may have something."""
        return self._process is not None

    def start(self, artifact: Artifact, folder: Path) -> None:
        """Start it where that pays: `folder` is the checkpoint's."""
        if "transformers" in sys.modules or artifact.takes_images or _size(folder) < _LARGE:
            return
        command = [sys.executable, "-P", "-m", __name__, str(os.getpid()), str(artifact.path), str(folder)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log)

    def take(self, progress: Progress) -> list[Check] | None:
        """Wait for the checks; None if the process failed: climbed here, they say why."""
        if self._process is None or self._log is None:
            return None
        task = progress.task("Comparing templates and tokens")
        answer, _ = self._process.communicate()
        task.finish()
        if self._process.returncode == 0:
            return [Check.model_validate(check) for check in json.loads(answer)]
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"it ended with {self._process.returncode}"
        progress.detail(f"The process that compares templates and tokens failed, and it is done again here: {reason}")
        return None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("tokenizer.*") if path.is_file())


def _main() -> None:
    parent, artifact, folder = sys.argv[1:]
    gc.disable()  # nothing here is worth its time: a short process that builds large tables
    end_with(int(parent))
    block_optional_packages()
    sys.modules["torch"] = None  # type: ignore[assignment]
    opened = open_artifact(Path(artifact))
    if opened.takes_images:  # it is measured without its vision part, else there were no such process
        opened = opened.without_vision()
    checks = here(opened, open_checkpoint(Path(folder)), Silent())
    print(json.dumps([check.model_dump(mode="json") for check in checks]))


if __name__ == "__main__":
    _main()
    sys.stdout.flush()
    os._exit(0)  # all is written; taking the modules apart one by one would cost a fifth of the whole

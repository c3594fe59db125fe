"""Files that must stay as they are while they are read: what is converted, or measured, must be what was hashed.

A file is known by inode, size, and times of writing and of change; the system sets the last, and no program can set it back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from .errors import CheckpointError
from .progress import Task

_BLOCK = 1 << 22
_OF_A_MODEL = (
    ".safetensors", ".bin", ".gguf", ".xml", ".onnx", ".onnx_data", ".json", ".jinja", ".model", ".tiktoken",
)  # fmt: skip
_TABLES = ("merges.txt", "vocab.txt")
Stamp = tuple[int, int, int, int]
"""Inode, bytes, nanoseconds of the last writing, nanoseconds of the last change."""


def stamp(status: os.stat_result) -> Stamp:
    """Return by what a file is known."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Unchanged:
    """Files as they were when they were first looked at."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._stamps: dict[Path, Stamp] = {}
        for file in files:
            self.add(file)

    def add(self, file: Path) -> None:
        """Look at a file, unless that was done before; what is not a regular file is passed over. Raises OSError."""
        if file not in self._stamps and file.is_file():
            self._stamps[file] = stamp(file.stat())

    def add_folder(self, folder: Path) -> None:
        """Look at the files in a folder, and at what lies in its folder of chat templates. Raises OSError."""
        for file in [*folder.iterdir(), *folder.glob("additional_chat_templates/*")]:
            self.add(file)

    def require_model(self) -> None:
        """Refuse if a file that can be of a model is not what it was; notes beside it are none. Raises CheckpointError."""
        self.require([path for path in self._stamps if path.suffix in _OF_A_MODEL or path.name in _TABLES])

    def require(self, files: Iterable[Path] | None = None) -> None:
        """Refuse if one of the files, or any that was looked at, is not what it was.

        Raises:
            CheckpointError: one was written, replaced or removed meanwhile.
        """
        for file in self._stamps if files is None else files:
            try:
                now = stamp(file.stat())
            except OSError as error:
                raise changed(file) from error
            if self._stamps.get(file, now) != now:
                raise changed(file)

    def sha256(self, file: Path, task: Task | None = None) -> tuple[int, str]:
        """Return a file's size and SHA-256, made of what the open file holds from first to last.

        Raises:
            CheckpointError: it is not what it was when it was looked at, or does not stay so.
            OSError: it cannot be read; with its name.
        """
        digest, block = hashlib.sha256(), bytearray(_BLOCK)
        with file.open("rb", buffering=0) as stream:
            before = stamp(os.fstat(stream.fileno()))
            if self._stamps.setdefault(file, before) != before:
                raise changed(file)
            while count := self._read(stream.fileno(), block, file):
                digest.update(memoryview(block)[:count])
                if task:
                    task.advance(count)
            if stamp(os.fstat(stream.fileno())) != before:
                raise changed(file)
        return before[1], digest.hexdigest()

    @staticmethod
    def _read(descriptor: int, block: bytearray, file: Path) -> int:
        try:
            return os.readv(descriptor, [block])
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file)) from error


def changed(file: Path) -> CheckpointError:
    """Return the refusal of a file that did not stay as it was."""
    return CheckpointError(
        f"{file} was written, replaced or removed while it was read.",
        "Wait until whatever writes there is done, then run this again.",
    )

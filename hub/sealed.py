"""Files as they were when they were hashed: whoever reads one later gets those bytes, or an error.

A file is read once from beginning to end, for its SHA-256 and for a digest of every block. Later reads, by the library that
sends it, compare each block with its digest before they hand it out. So what is sent is what was hashed, whoever
writes to the file meanwhile; a file that is renamed over is still the one that was opened.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

from ..core.errors import ArtifactError

BLOCK = 1 << 20
"""Bytes that share a digest; a file of fewer is kept in memory."""


class SealedFile:
    """A file whose content can no longer change unnoticed.

    Attributes:
        path: where it lies.
        size: bytes.
        sha256: of the whole, hexadecimal.
    """

    def __init__(self, path: Path, advance: Callable[[int], None] = lambda _: None) -> None:
        """Open and read it; `advance` reports the bytes.

        Raises:
            ArtifactError: it is a link, no regular file, or cannot be read.
        """
        self.path = path
        self._file = _opened(path)
        self._blocks: list[bytes] = []
        whole, size, kept = hashlib.sha256(), 0, b""
        while block := self._pread(len(self._blocks)):
            whole.update(block)
            self._blocks.append(hashlib.sha256(block).digest())
            size += len(block)
            kept = block
            advance(len(block))
            if len(block) < BLOCK:
                break
        self.size = size
        self.sha256 = whole.hexdigest()
        self._kept = kept if size < BLOCK else None
        if self._kept is not None:
            self.close()

    def open(self) -> io.BufferedIOBase:
        """Return a reader of its own position. Its `read` raises ArtifactError if the file has changed."""
        return io.BytesIO(self._kept) if self._kept is not None else _Reader(self)

    def content(self) -> bytes:
        """Return all of it. Raises ArtifactError if the file has changed."""
        return self.open().read()

    def block(self, index: int) -> bytes:
        """Return the bytes from `index` * BLOCK on. Raises ArtifactError if they have changed."""
        block = self._pread(index)
        if hashlib.sha256(block).digest() != self._blocks[index]:
            raise ArtifactError(
                f"{self.path} changed while it was being published.",
                "No commit was made. Let nothing write to the model, run `edgeconv verify` on it, and publish again.",
            )
        return block

    def close(self) -> None:
        """Close the file; a large one cannot be read any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _pread(self, index: int) -> bytes:
        """Read a block; a short answer of the system is not the end of the file."""
        data = b""
        try:
            while len(data) < BLOCK and (more := os.pread(self._file, BLOCK - len(data), index * BLOCK + len(data))):
                data += more
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return data


class _Reader(io.BufferedIOBase):
    """A view of a sealed file; several may read at once."""

    def __init__(self, file: SealedFile) -> None:
        self._sealed = file
        self._at = 0
        self._cached: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._sealed.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        end = self._sealed.size if size is None or size < 0 else min(self._sealed.size, self._at + size)
        parts = []
        while self._at < end:
            index, start = divmod(self._at, BLOCK)
            if self._cached[0] != index:
                self._cached = (index, self._sealed.block(index))
            part = self._cached[1][start : start + end - self._at]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)


def _opened(path: Path) -> int:
    try:
        # a pipe of that name must not make us wait
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise ArtifactError(
                f"{path} is a link, and only files are published.", "Put a copy of the file in its place."
            ) from error
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ArtifactError(f"{path} is not a regular file.", "Convert the checkpoint again.")
    return file


def _unreadable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(f"{str(path)[:1000]} cannot be read: {error.strerror}.", "Check its permissions.")

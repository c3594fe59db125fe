"""The Hub's cache on this machine: what of a repository is in it, and whether it is what the Hub promised.

The layout is huggingface_hub's (`blobs`, `snapshots/<commit>`, `refs`), so that other tools share the files. Beside it,
in `HF_HOME/edgeconv`, two small records are kept per repository: the file list of each commit that was fetched whole
(without it nobody can tell offline whether a snapshot is complete), and a stamp of each file whose content was hashed
and found right, so that the next run need not hash it again. A stamp is the file's size, time of change and inode
number: it notices a file that was written or replaced, not a disk that decays silently.
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Literal

from ..core import limits
from ..core.digest import sha256_file
from ..core.errors import EdgeconvError
from ..core.progress import Progress
from ..core.scratch import scratch, sweep
from .listing import CommitListing, RemoteFile, from_tree, to_tree

State = Literal["sound", "absent", "damaged"]

_CHUNK = 8 << 20
_PARTIAL = ".edgeconv-"
_SLOW_BYTES = 64 << 20  # below this, hashing takes no time worth a progress bar


class Store:
    """One repository in the Hub's cache."""

    def __init__(self, repo_id: str, progress: Progress) -> None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        name = repo_folder_name(repo_id=repo_id, repo_type="model")
        self.repo_id = repo_id
        self.root: Path = Path(constants.HF_HUB_CACHE) / name
        self._locks = Path(constants.HF_HUB_CACHE) / ".locks" / name
        self._records = Path(constants.HF_HOME) / "edgeconv" / name
        self._progress = progress
        for folder in (self.root, self._records):
            sweep(folder, _PARTIAL)
        self._stamps: dict[str, list[int]] = self._load_stamps()

    def snapshot(self, commit: str) -> Path:
        """The folder that shows the files of a commit."""
        return self.root / "snapshots" / commit

    def state(self, file: RemoteFile, commit: str) -> State:
        """Whether the cached copy of `file` has the size and hash that the Hub's list gives it."""
        path = self.snapshot(commit) / file.path
        try:
            before = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        if not stat.S_ISREG(before.st_mode) or before.st_size != file.size or file.digest is None:
            return "damaged"
        if self._stamps.get(file.digest) == _stamp(before):
            return "sound"
        if self._digest(path, file) != file.digest:
            return "damaged"
        if _stamp(path.stat()) == _stamp(before):
            self._stamps[file.digest] = _stamp(before)
            self._write("verified.json", self._stamps)
        return "sound"

    def has(self, file: RemoteFile, commit: str) -> bool:
        """Whether a file of this name and size is cached; its content is not looked at."""
        path = self.snapshot(commit) / file.path
        return path.is_file() and path.stat().st_size == file.size

    def remove(self, file: RemoteFile, commit: str) -> None:
        """Delete a damaged file, both the snapshot's link and what it points to in this repository's blobs."""
        path = self.snapshot(commit) / file.path
        blob = path.resolve()
        path.unlink(missing_ok=True)
        if blob.parent == (self.root / "blobs").resolve():
            blob.unlink(missing_ok=True)

    def sweep(self, file: RemoteFile) -> None:
        """Delete what killed downloads of `file` left behind, unless another process is downloading it now."""
        import filelock
        from huggingface_hub.utils import WeakFileLock

        orphans = list((self.root / "blobs").glob(f"{file.digest}.*incomplete"))
        if not orphans:
            return
        self._locks.mkdir(parents=True, exist_ok=True)
        try:
            with WeakFileLock(self._locks / f"{file.digest}.lock", timeout=0.1):
                for orphan in orphans:
                    orphan.unlink(missing_ok=True)
        except filelock.Timeout:
            self._progress.detail(f"Another process is downloading {file.path}.")

    def commit_of(self, revision: str) -> str | None:
        """The commit that `revision` meant when it was last fetched, or None."""
        path = self.root / "refs" / revision
        try:
            return limits.read_text(path, limits.RECORD).strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._progress.detail(f"Ignored {path}: {error}")
            return None

    def listing(self, commit: str) -> CommitListing | None:
        """The file list of a commit that was fetched whole before, or None."""
        entries = self._read(f"{commit}.json")
        if entries is None:
            return None
        try:
            return from_tree(self.repo_id, commit, entries)
        except EdgeconvError as error:
            self._progress.detail(f"Ignored the record {self._records / commit}.json: {error.message}")
            return None

    def remember(self, listing: CommitListing, revision: str | None) -> None:
        """Record that `listing` was fetched whole, and that `revision` means it."""
        self._write(f"{listing.commit}.json", to_tree(listing))
        if revision is not None and revision != listing.commit:
            ref = self.root / "refs" / revision
            try:
                ref.parent.mkdir(parents=True, exist_ok=True)
                _replace(ref, listing.commit, beside=self.root)
            except OSError as error:
                self._progress.detail(f"Could not write {ref}: {error.strerror}")

    def _digest(self, path: Path, file: RemoteFile) -> str:
        """sha256 of the content, or git's blob sha1 where the list gives that."""
        if file.sha256 is None:
            return _git_blob_sha1(path, file.size)
        if file.size < _SLOW_BYTES:
            return sha256_file(path)
        task = self._progress.task(f"Checking {file.path}", file.size)
        digest = sha256_file(path, task)
        task.finish()
        return digest

    def _load_stamps(self) -> dict[str, list[int]]:
        stamps = self._read("verified.json")
        return stamps if isinstance(stamps, dict) else {}

    def _read(self, name: str) -> Any:
        """A record's content, or None where it is absent or unreadable (then the work is done again)."""
        path = self._records / name
        try:
            return json.loads(limits.read_bytes(path, limits.JSON))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            self._progress.detail(f"Ignored the record {path}: {error}")
            return None

    def _write(self, name: str, content: object) -> None:
        """Write a record; a failure costs time later, not correctness, so it is only mentioned."""
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            _replace(self._records / name, json.dumps(content), beside=self._records)
        except OSError as error:
            self._progress.detail(f"Could not write {self._records / name}: {error.strerror}")


def _git_blob_sha1(path: Path, size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _replace(path: Path, text: str, *, beside: Path) -> None:
    """Write a small file so that no other process ever sees half of it; it is made in a folder of its own in `beside`."""
    with scratch(beside, _PARTIAL) as folder:
        (folder / path.name).write_text(text, "utf-8")
        (folder / path.name).replace(path)

"""The checkpoint of a job: its headers for a plan, the whole of it for a run; from the Hub, a folder or a GGUF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.progress import Progress
from ...hub.pending import Pending
from ..checkpoint import Checkpoint
from ..open_checkpoint import open_checkpoint, open_headers

if TYPE_CHECKING:
    from ...hub.fetch import Metadata


@dataclass(frozen=True)
class OpenedSource:
    """An opened checkpoint and where it comes from.

    Attributes:
        checkpoint: with its weights, or their headers only.
        repo_id: its present name on the Hub; None for what lies here.
        commit: on the Hub.
        known: digests that a verified download has established, or that are kept from an earlier time, by name.
        pending: what is still to be fetched, if only the headers are here and it comes from the Hub.
    """

    checkpoint: Checkpoint
    repo_id: str | None
    commit: str | None
    known: Mapping[str, str] = field(default_factory=dict)
    pending: Pending | None = None

    @property
    def name(self) -> str:
        """The Hub's name, or that of the folder or file."""
        return self.repo_id or self.checkpoint.name

    @property
    def base_name(self) -> str:
        """The name without its owner, as results are called by."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def folder(self) -> Path:
        """Where it lies on this machine: a folder, or a GGUF."""
        return self.checkpoint.place


def headers(
    model: str,
    revision: str | None,
    progress: Progress,
    *,
    trust_remote_code: bool = False,
    runs_code: bool = True,
    local_files_only: bool = False,
) -> OpenedSource:
    """Read configs, tokenizer files and the headers of the weights only.

    `runs_code=False` is for conversions that could not run a checkpoint's code if they wanted, and thus need no consent.

    Raises:
        EdgeconvError: any of the family.
    """
    from ...hub.fetch import fetch_metadata
    from ...hub.source import parse

    metadata = fetch_metadata(
        parse(model, revision),
        progress=progress,
        allow_remote_code=trust_remote_code,
        local_files_only=local_files_only,
    )
    return of_metadata(metadata, trust_remote_code=trust_remote_code or not runs_code)


def of_metadata(metadata: Metadata, *, trust_remote_code: bool) -> OpenedSource:
    """Open what `hub.fetch.fetch_metadata` brought; `trust_remote_code` also where none could be run.

    Raises:
        CheckpointError: configs or headers are damaged, do not belong together, or the weights hold more than tensors.
    """
    fetched = metadata.fetched
    if fetched.repo_id is None:
        checkpoint = open_checkpoint(fetched.path, trust_remote_code=trust_remote_code)
    else:
        sizes = {file.path: file.size for file in metadata.listing.files}
        checkpoint = open_headers(fetched.path, metadata.headers, sizes, trust_remote_code=trust_remote_code)
    return OpenedSource(checkpoint, fetched.repo_id, fetched.commit, pending=metadata.pending)


def is_remote(model: str) -> bool:
    """Tell whether `model` names a repository of the Hub. Raises UsageError, CheckpointError for what names nothing."""
    from ...hub.source import parse

    return parse(model).repo_id is not None


def whole(
    model: str,
    revision: str | None,
    progress: Progress,
    *,
    trust_remote_code: bool = False,
    runs_code: bool = True,
    local_files_only: bool = False,
    keeps_digests: bool = False,
) -> OpenedSource:
    """Fetch the checkpoint if need be, and open it; `runs_code` as for `headers`.

    With `keeps_digests` a folder's files are hashed once for several runs: digests are kept beside their files' sizes, times of
    change and inodes (`core.file_digest`, where the validator keeps those of its reference).

    Raises:
        EdgeconvError: any of the family.
    """
    from ...hub.fetch import fetch
    from ...hub.source import parse

    fetched = fetch(
        parse(model, revision),
        progress=progress,
        allow_remote_code=trust_remote_code,
        local_files_only=local_files_only,
    )
    checkpoint = open_checkpoint(fetched.path, trust_remote_code=trust_remote_code or not runs_code)
    known: Mapping[str, str] = {file.path: file.sha256 for file in fetched.files if file.sha256}
    if keeps_digests and fetched.repo_id is None:
        known = Kept(checkpoint.origin, progress)
    return OpenedSource(checkpoint, fetched.repo_id, fetched.commit, known)


class Kept(Mapping[str, str]):
    """Digests of a folder's files, looked up where they are kept, else made and kept, when they are asked for."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        """Take the folder; no file is read yet."""
        self._folder = folder
        self._progress = progress

    def __getitem__(self, name: str) -> str:
        """Return a file's SHA-256. Raises KeyError if it is not there."""
        from ...core.file_digest import file_digest

        try:
            return file_digest(self._folder / name, self._progress)
        except FileNotFoundError as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        """Name the folder's files."""
        return (path.name for path in self._folder.iterdir() if path.is_file())

    def __len__(self) -> int:
        """Count them."""
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        """Tell whether the file is there, without reading it."""
        return (self._folder / str(name)).is_file()

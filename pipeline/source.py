"""The checkpoint of a job: its headers for a plan, the whole of it for a run; from the Hub, a folder or a GGUF."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..convert.checkpoint import Checkpoint, open_checkpoint, open_headers
from ..core.progress import Progress


@dataclass(frozen=True)
class Opened:
    """An opened checkpoint and where it comes from.

    Attributes:
        checkpoint: with its weights, or their headers only.
        repo_id: its present name on the Hub; None for what lies here.
        commit: on the Hub.
        known: digests that a verified download has established, by name.
    """

    checkpoint: Checkpoint
    repo_id: str | None
    commit: str | None
    known: dict[str, str] = field(default_factory=dict)

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
) -> Opened:
    """Read configs, tokenizer files and the headers of the weights only.

    `runs_code=False` is for conversions that could not run a checkpoint's code if they wanted, and thus need no consent.

    Raises:
        EdgeconvError: any of the family.
    """
    from ..hub.fetch import fetch_metadata
    from ..hub.source import parse

    metadata = fetch_metadata(
        parse(model, revision),
        progress=progress,
        allow_remote_code=trust_remote_code,
        local_files_only=local_files_only,
    )
    fetched = metadata.fetched
    if fetched.repo_id is None:
        checkpoint = open_checkpoint(fetched.path, trust_remote_code=trust_remote_code or not runs_code)
    else:
        sizes = {file.path: file.size for file in metadata.listing.files}
        checkpoint = open_headers(
            fetched.path, metadata.headers, sizes, trust_remote_code=trust_remote_code or not runs_code
        )
    return Opened(checkpoint, fetched.repo_id, fetched.commit)


def whole(
    model: str,
    revision: str | None,
    progress: Progress,
    *,
    trust_remote_code: bool = False,
    runs_code: bool = True,
    local_files_only: bool = False,
) -> Opened:
    """Fetch the checkpoint if need be, and open it; `runs_code` as for `headers`.

    Raises:
        EdgeconvError: any of the family.
    """
    from ..hub.fetch import fetch
    from ..hub.source import parse

    fetched = fetch(
        parse(model, revision),
        progress=progress,
        allow_remote_code=trust_remote_code,
        local_files_only=local_files_only,
    )
    checkpoint = open_checkpoint(fetched.path, trust_remote_code=trust_remote_code or not runs_code)
    known = {file.path: file.sha256 for file in fetched.files if file.sha256}
    return Opened(checkpoint, fetched.repo_id, fetched.commit, known)

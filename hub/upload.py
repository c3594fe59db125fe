"""A folder's files as one commit on the Hub, safe to repeat.

What the repository has already is not sent again, and nothing to send means no commit. A commit names the parent that was
looked at, so that another's push between is noticed (412) and never overwritten. When the reply to a commit is lost, the
branch is read again: the commit is there, or the attempt may be repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.digest import sha256_file
from ..core.errors import AccessError, HubUnreachableError
from ..core.progress import Progress
from . import client
from .client import Retry
from .faults import endpoint, is_transient, translated
from .listing import CommitListing, RemoteFile
from .source import DEFAULT_REVISION

Content = Path | bytes
ATTEMPTS = 3
"""Commits that are tried when replies are lost."""


@dataclass(frozen=True)
class Upload:
    """What a repository is to hold.

    Attributes:
        repo_id: "organisation/name".
        files: path in the repository → a file here, or its content.
        obsolete: paths that are deleted if they are there and not in `files`.
        branch: None: the default one.
        create_pr: open a pull request instead of pushing to the branch.
        private: of a repository that is created; one that exists stays as it is.
    """

    repo_id: str
    files: Mapping[str, Content]
    obsolete: Collection[str] = ()
    branch: str | None = None
    create_pr: bool = False
    private: bool = False
    message: str = "Upload"


@dataclass(frozen=True)
class Change:
    """What differs between the files here and a repository; `parent` is the commit that was looked at (None: no repository)."""

    parent: str | None
    sent: tuple[str, ...]
    deleted: tuple[str, ...]
    bytes: int

    @property
    def empty(self) -> bool:
        """True if the repository holds everything already."""
        return not (self.sent or self.deleted)


@dataclass(frozen=True)
class Uploaded:
    """The result: `commit` is None if nothing had to change, or for a dry run; `url` is where to look at it."""

    change: Change
    commit: str | None
    url: str


def compare(upload: Upload, progress: Progress, retry: Retry | None = None) -> Change:
    """Say what an upload would do; sends nothing.

    Raises:
        AccessError, HubUnreachableError: as `faults.translated`.
    """
    from huggingface_hub import HfApi

    with translated(upload.repo_id, upload.branch):
        if not HfApi().repo_exists(upload.repo_id):
            return _change(upload, None)
    try:
        listing = client.resolve(upload.repo_id, upload.branch, retry or Retry(), progress)
    except AccessError:
        if upload.branch in (None, DEFAULT_REVISION):
            raise
        return _change(upload, None)  # the branch is made when it is needed
    return _change(upload, listing)


def send(upload: Upload, progress: Progress, retry: Retry | None = None) -> Uploaded:
    """Bring the repository up to date, making it if need be.

    Raises:
        AccessError: the token may not write there, or somebody else pushed meanwhile.
        HubUnreachableError: no answer, or what lies there afterwards is not what was sent.
    """
    retry = retry or Retry()
    _make(upload, retry, progress)
    listing = client.resolve(upload.repo_id, upload.branch, retry, progress)
    change = _change(upload, listing)
    if change.empty:
        return Uploaded(change, None, _page(upload.repo_id, listing.commit))
    url = _commit(upload, change, retry, progress)
    if upload.create_pr:
        return Uploaded(change, None, url)
    after = client.resolve(upload.repo_id, upload.branch, retry, progress)
    if not _change(upload, after).empty:
        raise HubUnreachableError(
            f"{upload.repo_id} does not hold what was sent.", "Publish again; if it repeats, look at the repository."
        )
    return Uploaded(change, after.commit, _page(upload.repo_id, after.commit))


def _make(upload: Upload, retry: Retry, progress: Progress) -> None:
    """Create repository and branch; both calls may be repeated."""
    from huggingface_hub import HfApi

    api = HfApi(library_name="edgeconv")
    with _writing(upload.repo_id):
        retry.run(lambda: api.create_repo(upload.repo_id, private=upload.private, exist_ok=True), progress)
        if upload.branch not in (None, DEFAULT_REVISION):
            retry.run(lambda: api.create_branch(upload.repo_id, branch=str(upload.branch), exist_ok=True), progress)


def _commit(upload: Upload, change: Change, retry: Retry, progress: Progress) -> str:
    """Send it; after a lost reply, see whether it has landed before trying again."""
    from huggingface_hub import HfApi

    api = HfApi(library_name="edgeconv")
    task = progress.task(f"Publishing {len(change.sent)} files", None)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with client.library_log_to(progress):
                made = api.create_commit(
                    upload.repo_id,
                    operations=_operations(upload, change),
                    commit_message=upload.message,
                    revision=upload.branch,
                    create_pr=upload.create_pr,
                    parent_commit=None if upload.create_pr else change.parent,
                )
            task.finish()
            return str(made.pr_url or made.commit_url)
        except Exception as error:
            if not is_transient(error) or attempt == ATTEMPTS:
                with _writing(upload.repo_id):
                    raise
            if upload.create_pr:
                raise HubUnreachableError(
                    f"The Hub did not answer, so a pull request at {upload.repo_id} may exist or not.",
                    f"Look at {endpoint()}/{upload.repo_id}/discussions before you publish again.",
                ) from error
            progress.detail(f"The Hub lost the reply to the commit: looking at what {upload.repo_id} holds")
        now = client.resolve(upload.repo_id, upload.branch, retry, progress)
        if _change(upload, now).empty:
            task.finish()
            return _page(upload.repo_id, now.commit)
        if now.commit != change.parent:
            raise _moved(upload.repo_id)
    raise AssertionError("unreachable")


def _operations(upload: Upload, change: Change) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    added = [CommitOperationAdd(path, upload.files[path]) for path in change.sent]
    return added + [CommitOperationDelete(path) for path in change.deleted]


def _change(upload: Upload, listing: CommitListing | None) -> Change:
    there = {file.path: file for file in listing.files} if listing else {}
    sent = tuple(path for path, content in sorted(upload.files.items()) if not _same(content, there.get(path)))
    deleted = tuple(sorted(path for path in upload.obsolete if path in there and path not in upload.files))
    size = sum(_size(upload.files[path]) for path in sent)
    return Change(listing.commit if listing else None, sent, deleted, size)


def _same(content: Content, remote: RemoteFile | None) -> bool:
    if remote is None or remote.size != _size(content):
        return False
    if remote.sha256:
        own = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(content)
        return own == remote.sha256
    data = content if isinstance(content, bytes) else content.read_bytes()  # not in large-file storage: small
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == remote.oid


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _page(repo_id: str, commit: str) -> str:
    return f"{endpoint()}/{repo_id}/tree/{commit}"


def _moved(repo_id: str) -> AccessError:
    return AccessError(
        f"Somebody else changed {repo_id} while it was being published; nothing of theirs was overwritten.",
        "Look at their change, then publish again.",
    )


@contextmanager
def _writing(repo_id: str) -> Iterator[None]:
    """Turn the errors of a call that writes into edgeconv's; a refusal is about writing, where `translated` speaks of reading."""
    from huggingface_hub.errors import HfHubHTTPError

    with translated(repo_id, None):
        try:
            yield
        except HfHubHTTPError as error:
            if error.response.status_code == 412:
                raise _moved(repo_id) from error
            if error.response.status_code in (401, 403):
                raise AccessError(
                    f"The Hub does not let you write to {repo_id}.",
                    "Log in with `hf auth login`, or set HF_TOKEN to a token with the right to write there.",
                ) from error
            raise

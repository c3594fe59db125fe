"""A set of files as one commit on the Hub, planned before and looked at afterwards, and safe to repeat.

What the repository has already is not sent again, and nothing to send means no commit. `plan` says what a commit would add,
replace and delete; `send` does that and nothing else. A commit names the parent that was planned against, so that another's push
between is noticed (412) and never overwritten. When the reply to a commit is lost, the branch is read again: the commit is
there, or the attempt may be repeated. Afterwards the Hub's own list of sizes and digests is compared with what was to be sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..core.errors import AccessError, EdgeconvError, HubUnreachableError
from ..core.progress import Progress
from . import client
from .client import Retry
from .faults import endpoint, is_transient, translated
from .listing import CommitListing, RemoteFile
from .repository import Repository, look
from .sealed import BLOCK, SealedFile
from .source import DEFAULT_REVISION

Content = SealedFile | bytes
ATTEMPTS = 3
"""Commits that are tried when replies are lost."""


@dataclass(frozen=True)
class Upload:
    """What a repository is to hold.

    Attributes:
        repo_id: "organization/name".
        files: path in the repository → a sealed file, or its content.
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
    """What a commit does; `parent` is the commit that was looked at (None: there is no repository).

    `bytes` are those of the files that are sent.
    """

    parent: str | None
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    deleted: tuple[str, ...]
    bytes: int
    new_repository: bool = False
    new_branch: bool = False

    @property
    def sent(self) -> tuple[str, ...]:
        """Everything that is added or replaced."""
        return tuple(sorted((*self.added, *self.replaced)))

    @property
    def empty(self) -> bool:
        """True if the repository holds everything already."""
        return not (self.added or self.replaced or self.deleted)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        names = {"sent": self.sent, "added": self.added, "replaced": self.replaced, "deleted": self.deleted}
        new = {"new_repository": self.new_repository, "new_branch": self.new_branch}
        return {"parent": self.parent, "bytes": self.bytes, **{key: list(value) for key, value in names.items()}, **new}


@dataclass(frozen=True)
class Uploaded:
    """The result: `commit` is None if nothing had to change, or for a pull request; `url` is where to look at it."""

    change: Change
    commit: str | None
    url: str


def plan(upload: Upload, repository: Repository) -> Change:
    """Say what `send` will do to a repository that is as it was looked at."""
    there = repository.files
    differ = [path for path, content in sorted(upload.files.items()) if not same(content, there.get(path))]
    return Change(
        repository.listing.commit if repository.listing else None,
        tuple(path for path in differ if path not in there),
        tuple(path for path in differ if path in there),
        tuple(sorted(path for path in upload.obsolete if path in there and path not in upload.files)),
        sum(_size(upload.files[path]) for path in differ),
        new_repository=not repository.exists,
        new_branch=repository.exists and not repository.branch_exists,
    )


def send(upload: Upload, planned: Change, progress: Progress, retry: Retry | None = None) -> Uploaded:
    """Do what was planned, making the repository or branch if it was not there.

    Raises:
        AccessError: the token may not write there, or somebody else changed the repository meanwhile.
        ArtifactError: a file changed since it was sealed; there is no commit then.
        HubUnreachableError: no answer, or what lies there afterwards is not what was sent.
    """
    retry = retry or Retry()
    change = planned
    if planned.new_repository or planned.new_branch:
        change = _made(upload, planned, retry, progress)
    if change.empty:
        return Uploaded(change, None, _page(upload.repo_id, str(change.parent)))
    url, landed = _commit(upload, change, retry, progress)
    wrong = _differences(upload, change, landed)
    if wrong:
        raise HubUnreachableError(
            f"{upload.repo_id} does not hold what was sent: {', '.join(wrong)}.",
            f"Look at {_page(upload.repo_id, landed.commit)}; nobody should use it. Then publish again.",
        )
    return Uploaded(change, None if upload.create_pr else landed.commit, url)


def same(content: Content, remote: RemoteFile | None) -> bool:
    """Whether the Hub says of a file that it has this content."""
    if remote is None or remote.size != _size(content):
        return False
    return remote.sha256 == sha256(content) if remote.sha256 else remote.oid == blob_id(content)


def sha256(content: Content) -> str:
    """Return the hexadecimal SHA-256."""
    return content.sha256 if isinstance(content, SealedFile) else hashlib.sha256(content).hexdigest()


def blob_id(content: Content) -> str:
    """Return git's name of the content, by which the Hub names what is not in large-file storage."""
    digest = hashlib.sha1(b"blob %d\0" % _size(content), usedforsecurity=False)
    if isinstance(content, bytes):
        digest.update(content)
    else:
        reader = content.open()
        while block := reader.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _made(upload: Upload, planned: Change, retry: Retry, progress: Progress) -> Change:
    """Create repository and branch, and plan again against what they start with; both calls may be repeated.

    Raises:
        AccessError: somebody else made it meanwhile, with other files, or for other eyes.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="edgeconv")
    with _writing(upload.repo_id):
        if planned.new_repository:
            retry.run(lambda: api.create_repo(upload.repo_id, private=upload.private, exist_ok=True), progress)
        if upload.branch not in (None, DEFAULT_REVISION):
            retry.run(lambda: api.create_branch(upload.repo_id, branch=str(upload.branch), exist_ok=True), progress)
    repository = look(upload.repo_id, upload.branch, retry, progress)
    if not repository.exists:
        raise HubUnreachableError(f"The Hub made {upload.repo_id}, and does not find it.", "Publish again in a minute.")
    if upload.private and planned.new_repository and repository.private is not True:
        raise AccessError(
            f"{upload.repo_id} is public, though it was to be a private one; nothing was sent there.",
            "Make it private on its page of settings, or publish without --private.",
        )
    made = plan(upload, repository)
    if set(made.replaced) - set(planned.replaced) or set(made.deleted) - set(planned.deleted):
        raise _moved(upload.repo_id)
    new = {"new_repository": planned.new_repository, "new_branch": planned.new_branch}
    return Change(made.parent, made.added, made.replaced, made.deleted, made.bytes, **new)


def _commit(upload: Upload, change: Change, retry: Retry, progress: Progress) -> tuple[str, CommitListing]:
    """Send it, and list what is there then; after a lost reply, see whether it has landed before trying again."""
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
                    parent_commit=change.parent,
                )
            task.finish()
            landed = client.resolve(upload.repo_id, made.pr_revision or made.oid, retry, progress)
            return str(made.pr_url or _page(upload.repo_id, landed.commit)), landed
        except Exception as error:
            if own := _own(error):
                raise own from None
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
        if not _differences(upload, change, now):
            task.finish()
            return _page(upload.repo_id, now.commit), now
        if now.commit != change.parent:
            raise _moved(upload.repo_id)
    raise AssertionError("unreachable")


def _own(error: BaseException | None) -> EdgeconvError | None:
    """Return our error that the library met while it read a file, and wrapped into one of its own."""
    while error is not None and not isinstance(error, EdgeconvError):
        error = error.__cause__
    return error


def _operations(upload: Upload, change: Change) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    files = ((path, upload.files[path]) for path in change.sent)
    added = [CommitOperationAdd(path, file if isinstance(file, bytes) else file.open()) for path, file in files]
    return added + [CommitOperationDelete(path) for path in change.deleted]


def _differences(upload: Upload, change: Change, listing: CommitListing) -> list[str]:
    """Name the files that are not there as they should be, and those that should be gone."""
    there = {file.path: file for file in listing.files}
    wrong = [path for path, content in upload.files.items() if not same(content, there.get(path))]
    return sorted([*wrong, *(path for path in change.deleted if path in there)])


def _size(content: Content) -> int:
    return content.size if isinstance(content, SealedFile) else len(content)


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

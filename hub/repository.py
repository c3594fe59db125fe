"""What a repository is before anything is written to it: whether it is there, who may see it, what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.errors import AccessError, HubUnreachableError
from ..core.progress import Progress
from . import client
from .client import Retry
from .faults import endpoint, translated
from .listing import CommitListing, RemoteFile
from .source import DEFAULT_REVISION


@dataclass(frozen=True)
class Repository:
    """A repository as it was looked at.

    Attributes:
        repo_id: "organization/name".
        exists: false also for one that the token may not see.
        private: None if the Hub does not say, or there is none.
        listing: of the branch, or of the default one if the branch is still to be made of it; None if there is no repository.
        branch_exists: whether the branch that was asked for is there.
    """

    repo_id: str
    exists: bool
    private: bool | None = None
    listing: CommitListing | None = None
    branch_exists: bool = False

    @property
    def files(self) -> dict[str, RemoteFile]:
        """By path."""
        return {file.path: file for file in self.listing.files} if self.listing else {}

    def read(self, path: str, largest: int, retry: Retry, progress: Progress) -> bytes:
        """Return a file's content.

        Raises:
            HubUnreachableError: it has more than `largest` bytes, or as `client.read_range`.
        """
        file = self.files[path]
        if file.size > largest:
            raise HubUnreachableError(
                f"{path} of {self.repo_id} has {file.size:,} bytes, which no such file needs.",
                "Look at the repository; it may be damaged or hostile.",
            )
        if self.listing is None or not file.size:
            return b""
        return client.read_range(self.listing, path, 0, file.size, retry=retry, progress=progress)


def look(repo_id: str, branch: str | None, retry: Retry, progress: Progress) -> Repository:
    """Look at a repository, and at a branch of it (None: the default one).

    Raises:
        AccessError: it may not be read, or has another name now.
        HubUnreachableError: no answer, or not the promised one.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    with translated(repo_id, None):
        try:
            info = client.model_info(repo_id, retry, progress)
        except RepositoryNotFoundError:
            return Repository(repo_id, exists=False)
    name = info.get("id")
    if isinstance(name, str) and name != repo_id:
        raise AccessError(f"{repo_id} is called {name} now.", f"If that is what you mean, write --repo {name}.")
    private = info.get("private")
    known = private if isinstance(private, bool) else None
    try:
        listing = client.resolve(repo_id, branch, retry, progress)
    except AccessError:
        if branch in (None, DEFAULT_REVISION):
            raise
        base = client.resolve(repo_id, None, retry, progress)
        return Repository(repo_id, exists=True, private=known, listing=base)
    return Repository(repo_id, exists=True, private=known, listing=listing, branch_exists=True)


@dataclass(frozen=True)
class Writer:
    """Whose the token is, and what it may do as far as the Hub says; `may_write` is None where it does not."""

    name: str
    organizations: tuple[str, ...]
    may_write: bool | None

    def owns(self, namespace: str) -> bool:
        """Whether repositories of that name are the user's, or of an organization of theirs."""
        return namespace.lower() in {self.name.lower(), *(name.lower() for name in self.organizations)}


def who_am_i(retry: Retry, progress: Progress) -> Writer:
    """Ask the Hub whose the token is.

    Raises:
        AccessError: there is none, or the Hub does not accept it.
        HubUnreachableError: no answer, or none that can be read.
    """
    from huggingface_hub import get_token

    if get_token() is None:
        raise AccessError(
            "Publishing needs an access token, and there is none.",
            "Log in with `hf auth login`, or set HF_TOKEN to a token with the right to write.",
        )
    with translated("your account", None):
        answer = client.who_am_i(retry, progress)
    try:
        name, organizations = answer["name"], tuple(str(one["name"]) for one in answer.get("orgs") or ())
        token = (answer.get("auth") or {}).get("accessToken") or {}
        return Writer(str(name), organizations, _may_write(token))
    except (KeyError, TypeError, AttributeError) as error:
        raise HubUnreachableError(f"{endpoint()} does not say whose the access token is.") from error


def _may_write(token: dict[str, Any]) -> bool | None:
    """A token of fine-grained rights is told apart by its scopes; what they are called may change, so only none at all counts."""
    role = token.get("role")
    if role in ("read", "write"):
        return bool(role == "write")
    scopes = (token.get("fineGrained") or {}).get("scoped") if role == "fineGrained" else None
    if scopes is None:
        return None
    return any("write" in str(right) for scope in scopes for right in scope.get("permissions") or ())

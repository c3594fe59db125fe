"""What can be known of a publication before there is anything to publish: names, the token's rights, the repository's state."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.errors import AccessError
from ..core.progress import Progress
from ..hub.client import Retry
from ..hub.repository import Repository, look, who_am_i
from . import ownership
from .asked import Publication


def check(asked: Publication, progress: Progress, retry: Retry | None = None) -> Repository:
    """Check what does not depend on the files, and return the repository as it is now. Writes nothing.

    Raises:
        UsageError: no name of a repository or branch, or a placeholder.
        AccessError: no token, none that may write there, or the repository is public where a private one was asked for.
        HubUnreachableError: no answer.
    """
    retry = retry or Retry()
    asked.check()
    _require_rights(asked, progress, retry)
    repository = look(asked.repo_id, asked.branch, retry, progress)
    if asked.private and repository.exists and repository.private is not True:
        raise AccessError(
            f"{asked.repo_id} is there already and is public: what is sent there, everybody sees.",
            "Make it private on its page of settings, name another --repo, or leave --private out.",
        )
    return repository


def check_before_conversion(
    asked: Publication, expected: Iterable[str], progress: Progress, retry: Retry | None = None
) -> None:
    """Check also that the files of a publication are free, so that no conversion is made in vain.

    Args:
        asked: what would be published.
        expected: names of the files that it is going to have, beside its card, manifest and record.
        progress: reports the requests.
        retry: patience.

    Raises:
        AccessError: as `check`; or the repository holds files that edgeconv did not put there.
    """
    retry = retry or Retry()
    repository = check(asked, progress, retry)
    ownership.require_free(asked, repository, ownership.read_record(repository, retry, progress), expected)


def _require_rights(asked: Publication, progress: Progress, retry: Retry) -> None:
    writer = who_am_i(retry, progress)
    if writer.may_write is False:
        raise AccessError(
            f"The access token of {writer.name} may read only.",
            "Make one with the right to write at the Hub's page of settings, and set HF_TOKEN or run `hf auth login`.",
        )
    namespace = asked.repo_id.partition("/")[0]
    if not writer.owns(namespace) and not asked.create_pr:
        own = ", ".join((writer.name, *writer.organizations))
        raise AccessError(
            f"Your access token does not let you write to {asked.repo_id}: it is of {own}.",
            "Name a repository of yours, use another token, or open a pull request with --create-pr.",
        )

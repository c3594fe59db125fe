"""An artifact on the Hub: through the gate, with its card, in one commit.

Looking and acting are one way: `prepare` works out the commit, a dry run shows it, and a publication sends exactly it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from ..convert.conversion import format_of
from ..core.errors import AccessError
from ..core.manifest import Manifest
from ..core.progress import Progress
from ..hub.client import Retry
from ..hub.repository import Repository
from ..hub.upload import Change, Upload, Uploaded, send
from ..hub.upload import plan as plan_upload
from . import contents, leaks, ownership, preconditions, record
from .asked import Publication
from .gate import Cleared, clear

__all__ = ["Plan", "Publication", "plan", "publish"]


@dataclass(frozen=True)
class Plan:
    """What would be sent, and what came through the gate (its files are closed)."""

    cleared: Cleared
    change: Change


def plan(asked: Publication, progress: Progress, retry: Retry | None = None) -> Plan:
    """Check everything and compare with the Hub; sends nothing.

    Raises:
        EdgeconvError: as `publish`.
    """
    asked.check()
    with closing(clear(asked.folder, progress, allow_unvalidated=asked.allow_unvalidated)) as cleared:
        return Plan(cleared, _prepare(asked, cleared, progress, retry or Retry())[1])


def publish(asked: Publication, progress: Progress, retry: Retry | None = None) -> Uploaded:
    """Send what the repository does not have yet; nothing new means no commit.

    Files that this target put there before and that it has no longer are deleted; others are left alone.

    Raises:
        UsageError: no name of a repository or branch.
        ArtifactError, ParityError: the gate is shut (see `gate.clear`), a file changed since, or one holds a secret.
        AccessError, HubUnreachableError: the Hub says no, or nothing; or a file there is not this target's.
    """
    retry = retry or Retry()
    asked.check()
    with closing(clear(asked.folder, progress, allow_unvalidated=asked.allow_unvalidated)) as cleared:
        upload, change = _prepare(asked, cleared, progress, retry)
        return send(upload, change, progress, retry)


def _prepare(asked: Publication, cleared: Cleared, progress: Progress, retry: Retry) -> tuple[Upload, Change]:
    repository = preconditions.check(asked, progress, retry)
    key = record.key_of(cleared.manifest)
    known = ownership.read_record(repository, retry, progress)
    holding = ownership.holding(asked, key, repository, known)
    beside = contents.others(holding, retry, progress)
    for other, (shown, _) in beside.items():
        _require_alike(repository, other, shown.manifest, cleared.manifest)
    shown, target, files = contents.of_target(cleared, holding)
    targets = dict(sorted({**beside, key: (shown, target)}.items()))
    whole = contents.with_card(asked.repo_id, asked.branch, targets, files, cleared)
    reports = [(name, cleared.report) for name in [f"{shown.report_at}/parity.json"] if cleared.report]
    leaks.require_none(leaks.Search.here(), whole, reports)
    upload = Upload(
        asked.repo_id,
        whole,
        obsolete=holding.obsolete(),
        branch=asked.branch,
        create_pr=asked.create_pr,
        private=asked.private,
        message=asked.message or _message(cleared.manifest),
    )
    change = plan_upload(upload, repository)
    holding.require_ours(change.replaced, asked.replace)
    return upload, change


def _require_alike(repository: Repository, other: str, there: Manifest, mine: Manifest) -> None:
    """Several types of GGUF of one model may share a repository; the files of other formats have the same names.

    Raises:
        AccessError: they may not.
    """
    one, two = there.source, mine.source
    if (
        there.target == mine.target
        and format_of(mine).shares_repository
        and (one.repo_id, one.parameters) == (two.repo_id, two.parameters)
    ):
        return
    raise AccessError(
        f"{repository.repo_id} holds {other}, and only GGUF types of one model can share a repository.",
        f"Name another repository, or take its place with --replace {other}.",
    )


def _message(manifest: Manifest) -> str:
    source = manifest.source
    origin = f"{source.repo_id}@{source.commit[:12]}" if source.repo_id and source.commit else "a local checkpoint"
    what = manifest.scheme.get("precision") or manifest.scheme.get("file_type") or ""
    return f"{manifest.target} {what} of {origin}"

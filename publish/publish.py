"""An artefact on the Hub: through the gate, with its card, in one commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..core.errors import UsageError
from ..core.manifest import MANIFEST_NAME, Manifest
from ..core.progress import Progress
from ..hub import client
from ..hub.client import Retry
from ..hub.source import is_repo_id, is_revision
from ..hub.upload import Change, Content, Upload, Uploaded, compare, send
from . import card
from .gate import PARITY, Cleared, clear

CARD = "README.md"


@dataclass(frozen=True)
class Publication:
    """What a user asks for; fields as `hub.upload.Upload`'s."""

    folder: Path
    repo_id: str
    private: bool = False
    branch: str | None = None
    create_pr: bool = False
    allow_unvalidated: bool = False
    message: str | None = None


@dataclass(frozen=True)
class Plan:
    """What would be sent, and what came through the gate."""

    cleared: Cleared
    change: Change


def plan(asked: Publication, progress: Progress, retry: Retry | None = None) -> Plan:
    """Check everything and compare with the Hub; sends nothing.

    Raises:
        EdgeconvError: as `publish`.
    """
    cleared = _cleared(asked, progress)
    return Plan(cleared, compare(_upload(asked, cleared, ()), progress, retry))


def publish(asked: Publication, progress: Progress, retry: Retry | None = None) -> Uploaded:
    """Send what the repository does not have yet; nothing new means no commit.

    Files that an earlier manifest there names and the new one does not are deleted; others are left alone.

    Raises:
        UsageError: no name of a repository or branch.
        ArtefactError, ParityError: the gate is shut (see `gate.clear`).
        AccessError, HubUnreachableError: the Hub says no, or nothing.
    """
    cleared = _cleared(asked, progress)
    return send(_upload(asked, cleared, _published_before(asked, progress, retry)), progress, retry)


def _cleared(asked: Publication, progress: Progress) -> Cleared:
    if not is_repo_id(asked.repo_id) or "/" not in asked.repo_id:
        raise UsageError(f"{asked.repo_id!r} is not a repository's name.", "Write --repo ORGANISATION/NAME.")
    if asked.branch is not None and not is_revision(asked.branch):
        raise UsageError(f"{asked.branch!r} cannot be a branch.", "Use letters, digits, dots and hyphens.")
    if asked.branch is not None and asked.create_pr:
        raise UsageError("--create-pr opens a pull request to main; it does not go with --branch.", "Leave one out.")
    return clear(asked.folder, progress, allow_unvalidated=asked.allow_unvalidated)


def _upload(asked: Publication, cleared: Cleared, obsolete: tuple[str, ...]) -> Upload:
    manifest, place = cleared.manifest, cleared.place
    files: dict[str, Content] = {name: place.folder / name for name in manifest.outputs}
    files[MANIFEST_NAME] = place.manifest_path
    if cleared.report is not None:
        reports = sorted(path for path in place.report.iterdir() if path.suffix in (".json", ".md", ".html"))
        files |= {f"{PARITY}/{path.name}": path for path in reports}
    files[CARD] = card.render(cleared, asked.repo_id, asked.branch).encode()
    return Upload(
        asked.repo_id,
        files,
        obsolete=obsolete,
        branch=asked.branch,
        create_pr=asked.create_pr,
        private=asked.private,
        message=asked.message or _message(manifest),
    )


def _message(manifest: Manifest) -> str:
    source = manifest.source
    origin = f"{source.repo_id}@{source.commit[:12]}" if source.repo_id and source.commit else "a local checkpoint"
    what = manifest.scheme.get("precision") or manifest.scheme.get("file_type") or ""
    return f"{manifest.target} {what} of {origin}"


def _published_before(asked: Publication, progress: Progress, retry: Retry | None) -> tuple[str, ...]:
    """Name the files of the manifest that lies there now; none if there is none, or none that this version reads."""
    from ..core.errors import AccessError

    retry = retry or Retry()
    try:
        listing = client.resolve(asked.repo_id, asked.branch, retry, progress)
    except AccessError:
        return ()  # sending finds out whether it is absent or forbidden
    there = next((file for file in listing.files if file.path == MANIFEST_NAME), None)
    if there is None:
        return ()
    data = client.read_range(listing, MANIFEST_NAME, 0, there.size, retry=retry, progress=progress)
    try:
        before = Manifest.model_validate_json(data)
    except ValidationError:
        progress.note(f"The {MANIFEST_NAME} at {asked.repo_id} is of another version: none of its files is deleted.")
        return ()
    return (*before.outputs, *(f"{PARITY}/parity.{kind}" for kind in ("json", "md", "html")))

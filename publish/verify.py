"""Is an artifact, here or on the Hub, what its manifest says, file by file; and is its report the one that was written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from ..core.errors import ArtifactError
from ..core.manifest import LARGEST, MANIFEST_NAME, FileDigest, Manifest
from ..core.progress import Progress
from ..hub import client
from ..hub.client import Retry
from ..hub.listing import CommitListing, RemoteFile
from ..hub.repository import Repository
from ..hub.source import parse
from ..validate.formats.manifest import digest_of
from ..validate.report import seal
from ..validate.report import write as reports
from . import record
from .gate import LARGEST_REPORT
from .place import find

ReportState = Literal["sealed", "edited", "about other files", "unsealed", "unreadable"]


@dataclass(frozen=True)
class Verified:
    """What was found: `whole` if nothing is damaged or missing, and no report is wrong; `extra` files do no harm.

    `manifests` by name: a repository may hold several GGUF types. `reports` by name: what is to be said of each; "unsealed"
    is one of an earlier version.
    """

    name: str
    commit: str | None
    manifests: Mapping[str, Manifest]
    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    reports: Mapping[str, ReportState] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """How many files the manifests name."""
        return len({name for manifest in self.manifests.values() for name in manifest.outputs})

    @property
    def wrong_reports(self) -> tuple[str, ...]:
        """Those that nobody should believe."""
        return tuple(name for name, state in self.reports.items() if state not in ("sealed", "unsealed"))

    @property
    def whole(self) -> bool:
        """True if every file of the manifests is there as it should be, and so is every report that is there."""
        return not (self.damaged or self.missing or self.wrong_reports)


def verify(where: str, revision: str | None, progress: Progress, retry: Retry | None = None) -> Verified:
    """Verify a folder or a single GGUF, or a repository of the Hub at a revision.

    On the Hub the SHA-256 that the Hub itself states of each large file is compared; small files are read.

    Raises:
        ArtifactError: there is no manifest, or none that can be read.
        UsageError, AccessError, HubUnreachableError: as `hub.source.parse` and `hub.client.resolve`.
    """
    source = parse(where, revision)
    if source.folder is not None:
        place = find(source.folder)
        files = place.check(progress)
        path = place.report / reports.JSON_NAME
        states = {str(path): _state(path.read_bytes, place.manifest)} if path.is_file() else {}
        manifests = {place.manifest_path.name: place.manifest}
        return Verified(source.label, None, manifests, files.damaged, files.missing, files.extra, states)
    listing = client.resolve(str(source.repo_id), source.revision, retry or Retry(), progress)
    return _on_the_hub(listing, progress, retry or Retry())


def _state(read: Callable[[], bytes], manifest: Manifest) -> ReportState:
    try:
        data = read()
        report = reports.parse(data, "")
    except (OSError, ArtifactError):
        return "unreadable"
    if report.artifact.digest != digest_of(manifest):
        return "about other files"
    return seal.state(data)


def read_published(listing: CommitListing, progress: Progress, retry: Retry) -> Manifest:
    """Read the manifest of a repository that holds one artifact. Raises ArtifactError."""
    found = manifest_names(listing)
    if len(found) > 1:
        raise ArtifactError(
            f"{listing.repo_id} holds several models: {', '.join(found)}.",
            "Download the one that you mean, and name its file.",
        )
    return _read_manifest(listing, found[0], progress, retry)


def manifest_names(listing: CommitListing) -> list[str]:
    """Name the manifests of a repository, in order. Raises ArtifactError if there is none."""
    found = sorted(file.path for file in listing.files if record.is_manifest_name(file.path))
    if not found:
        raise ArtifactError(f"{listing.repo_id} has no {MANIFEST_NAME}.", "It was not published by edgeconv.")
    return found


def _read_manifest(listing: CommitListing, name: str, progress: Progress, retry: Retry) -> Manifest:
    data = Repository(listing.repo_id, True, None, listing).read(name, LARGEST, retry, progress)
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(
            f"The manifest of {listing.repo_id} cannot be read.", "Another version wrote it."
        ) from error


def _on_the_hub(listing: CommitListing, progress: Progress, retry: Retry) -> Verified:
    manifests = {name: _read_manifest(listing, name, progress, retry) for name in manifest_names(listing)}
    there = {file.path: file for file in listing.files}
    pairs = sorted((name, digest) for manifest in manifests.values() for name, digest in manifest.outputs.items())
    missing = sorted({name for name, _ in pairs if name not in there})
    task = progress.task("Checking files", len(pairs))
    damaged = []
    for name, expected in pairs:
        if name in there and not _same(listing, there[name], expected, progress, retry):
            damaged.append(name)
        task.advance(1)
    task.finish()
    whole = Repository(listing.repo_id, True, None, listing)
    states = {}
    for name, manifest in manifests.items():
        path = f"{record.report_place(name)}/{reports.JSON_NAME}"
        if path in there:
            states[path] = _state(lambda path=path: whole.read(path, LARGEST_REPORT, retry, progress), manifest)  # type: ignore[misc]
    extra = tuple(sorted(set(there) - {name for name, _ in pairs} - set(manifests)))
    return Verified(
        listing.repo_id, listing.commit, manifests, tuple(dict.fromkeys(damaged)), tuple(missing), extra, states
    )


def _same(listing: CommitListing, file: RemoteFile, expected: FileDigest, progress: Progress, retry: Retry) -> bool:
    if file.size != expected.size:
        return False
    if file.sha256:
        return file.sha256 == expected.sha256
    data = client.read_range(listing, file.path, 0, file.size, retry=retry, progress=progress) if file.size else b""
    return hashlib.sha256(data).hexdigest() == expected.sha256

"""Is an artefact, here or on the Hub, what its manifest says: names, sizes and SHA-256 of every file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import ValidationError

from ..core.errors import ArtefactError
from ..core.manifest import MANIFEST_NAME, FileDigest, Manifest
from ..core.progress import Progress
from ..hub import client
from ..hub.client import Retry
from ..hub.listing import CommitListing, RemoteFile
from ..hub.source import parse
from .place import find


@dataclass(frozen=True)
class Verified:
    """What was found: `whole` if nothing is damaged or missing; `extra` files do no harm."""

    name: str
    commit: str | None
    manifest: Manifest
    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """True if every file of the manifest is there as it should be."""
        return not (self.damaged or self.missing)


def verify(where: str, revision: str | None, progress: Progress, retry: Retry | None = None) -> Verified:
    """Verify a folder or a single GGUF, or a repository of the Hub at a revision.

    On the Hub the SHA-256 that the Hub itself states of each large file is compared; small files are read.

    Raises:
        ArtefactError: there is no manifest, or none that can be read.
        UsageError, AccessError, HubUnreachableError: as `hub.source.parse` and `hub.client.resolve`.
    """
    source = parse(where, revision)
    if source.folder is not None:
        place = find(source.folder)
        files = place.check(progress)
        return Verified(source.label, None, place.manifest, files.damaged, files.missing, files.extra)
    listing = client.resolve(str(source.repo_id), source.revision, retry or Retry(), progress)
    return _on_the_hub(listing, progress, retry or Retry())


def read_published(listing: CommitListing, progress: Progress, retry: Retry) -> Manifest:
    """Read the manifest of a repository. Raises ArtefactError."""
    file = next((file for file in listing.files if file.path == MANIFEST_NAME), None)
    if file is None:
        raise ArtefactError(f"{listing.repo_id} has no {MANIFEST_NAME}.", "It was not published by edgeconv.")
    data = client.read_range(listing, MANIFEST_NAME, 0, file.size, retry=retry, progress=progress)
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtefactError(
            f"The manifest of {listing.repo_id} cannot be read.", "Another version wrote it."
        ) from error


def _on_the_hub(listing: CommitListing, progress: Progress, retry: Retry) -> Verified:
    manifest = read_published(listing, progress, retry)
    there = {file.path: file for file in listing.files}
    missing = tuple(sorted(name for name in manifest.outputs if name not in there))
    task = progress.task("Checking files", len(manifest.outputs))
    damaged = []
    for name, expected in sorted(manifest.outputs.items()):
        if name in there and not _same(listing, there[name], expected, progress, retry):
            damaged.append(name)
        task.advance(1)
    task.finish()
    extra = tuple(sorted(set(there) - set(manifest.outputs) - {MANIFEST_NAME}))
    return Verified(listing.repo_id, listing.commit, manifest, tuple(damaged), missing, extra)


def _same(listing: CommitListing, file: RemoteFile, expected: FileDigest, progress: Progress, retry: Retry) -> bool:
    if file.size != expected.size:
        return False
    if file.sha256:
        return file.sha256 == expected.sha256
    data = client.read_range(listing, file.path, 0, file.size, retry=retry, progress=progress) if file.size else b""
    return hashlib.sha256(data).hexdigest() == expected.sha256

"""A checkpoint of the Hub, whole and verified, on this machine; or only what a plan needs of it."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import CheckpointError, HubUnreachableError, OutputError
from ..core.progress import Progress
from .client import Retry, library_log_to, read_range, resolve
from .download import download
from .faults import translated
from .headers import RemoteHeaders, read_header
from .listing import CommitListing, Listing, RemoteFile, is_read_by_loaders, is_weight
from .pending import Pending, pending
from .source import DEFAULT_REVISION, Source, is_commit
from .store import Store

_DEFAULT_RETRY = Retry()
_SPARE_BYTES = 64 << 20  # for links, records and the file system's own needs


@dataclass(frozen=True)
class Fetched:
    """A checkpoint on this machine: its folder, and for the Hub the repository's present name and the commit.

    `files` are the verified files with their hashes (empty for a folder, whose content nobody promised).
    """

    path: Path
    repo_id: str | None
    commit: str | None
    files: tuple[RemoteFile, ...] = ()


@dataclass(frozen=True)
class Metadata:
    """What a plan needs: a folder with the small files, the headers of the weights, the whole file list.

    `pending` is what a fetch would bring; None for what lies here.
    """

    fetched: Fetched
    headers: RemoteHeaders
    listing: Listing
    pending: Pending | None = None


@dataclass(frozen=True)
class _Located:
    listing: CommitListing
    store: Store
    revision: str | None
    offline: str | None  # why nothing may be downloaded, or None


def fetch(
    source: Source,
    *,
    progress: Progress,
    allow_remote_code: bool = False,
    local_files_only: bool = False,
    retry: Retry = _DEFAULT_RETRY,
) -> Fetched:
    """Bring the source's checkpoint here, each file compared with the Hub's own hashes.

    `local_files_only`, like HF_HUB_OFFLINE, admits no request; a snapshot is then accepted only if it was fetched whole
    by edgeconv before, and still is.

    Raises:
        AccessError: the repository or revision is absent, gated or private.
        HubUnreachableError: the Hub does not answer or does not keep its promises, and the cache is not complete.
        CheckpointError: a hostile file list, or a repository without a checkpoint.
        OutputError: the cache cannot be written.
    """
    if source.folder is not None:
        return Fetched(source.folder, None, None)
    with library_log_to(progress):
        located = _locate(source, progress, local_files_only, retry)
        wanted = located.listing.needed(allow_remote_code=allow_remote_code)
        _obtain(located, wanted, retry, progress)
        _refuse_foreign_files(located, allow_remote_code)
        located.store.remember(located.listing, located.revision)
    return _fetched(located, wanted)


def fetch_metadata(
    source: Source,
    *,
    progress: Progress,
    allow_remote_code: bool = False,
    local_files_only: bool = False,
    retry: Retry = _DEFAULT_RETRY,
) -> Metadata:
    """Bring the small files here, verified, and read only the headers of the weights.

    The headers are read in part and thus cannot be verified: they serve a plan, not a conversion. Raises as `fetch`,
    and CheckpointError for a damaged header.
    """
    if source.folder is not None:
        folder_listing = _list_folder(source.folder)
        if source.kind == "file":  # a GGUF, whose head holds all that a plan needs
            return Metadata(Fetched(source.folder, None, None), {}, folder_listing)
        names = [file for file in folder_listing.needed() if is_weight(file.path)]
        headers = {file.path: _local_header(source.folder / file.path, file) for file in names}
        return Metadata(Fetched(source.folder, None, None), headers, folder_listing)
    with library_log_to(progress):
        located = _locate(source, progress, local_files_only, retry)
        wanted = located.listing.needed(allow_remote_code=allow_remote_code)
        small = tuple(file for file in wanted if not is_weight(file.path))
        _obtain(located, small, retry, progress)
        weights = [file for file in wanted if is_weight(file.path)]
        headers = {file.path: _header(located, file, retry, progress) for file in weights}
    return Metadata(_fetched(located, small), headers, located.listing, pending(located.listing, wanted, located.store))


def _locate(source: Source, progress: Progress, local_files_only: bool, retry: Retry) -> _Located:
    """Find out which commit is meant and what it holds: from our record if it is pinned, else from the Hub."""
    from huggingface_hub import constants

    assert source.repo_id is not None
    store = Store(source.repo_id, progress)
    revision = source.revision or DEFAULT_REVISION
    offline = (
        "this run is offline" if local_files_only else "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else None
    )
    commit = revision if is_commit(revision) else store.commit_of(revision)
    known = store.listing(commit) if commit is not None and is_commit(commit) else None
    if offline or (known is not None and is_commit(revision)):
        if known is None:
            raise _not_cached(source, store, commit, offline)
        return _Located(known, store, source.revision, offline)
    try:
        listing = resolve(source.repo_id, source.revision, retry, progress)
    except HubUnreachableError as error:
        if known is None:
            raise
        progress.note(f"{error.message} Falling back on what was fetched last: commit {known.commit}.")
        return _Located(known, store, source.revision, "the Hub is not in reach")
    if listing.repo_id != source.repo_id:
        progress.note(f"{source.repo_id} is now called {listing.repo_id}.")
        store = Store(listing.repo_id, progress)
    return _Located(listing, store, revision, None)


def _not_cached(source: Source, store: Store, commit: str | None, offline: str | None) -> HubUnreachableError:
    hint = "Fetch it once with the Hub in reach."
    if commit is not None and store.snapshot(commit).is_dir():
        hint += f" If you know that the cached snapshot is whole, give it as a folder: {store.snapshot(commit)}"
    return HubUnreachableError(
        f"{source.label} was not fetched whole before, and no request is made to the Hub: {offline}.", hint
    )


def _obtain(located: _Located, wanted: tuple[RemoteFile, ...], retry: Retry, progress: Progress) -> None:
    """Make sure that each of `wanted` is in the cache and right, downloading what is not."""
    listing, store = located.listing, located.store
    with translated(listing.repo_id, listing.commit):
        states = {file: store.state(file, listing.commit) for file in wanted}
    lacking = [file for file in wanted if states[file] != "sound"]
    if not lacking:
        return
    if located.offline is not None:
        names = ", ".join(f"{file.path} ({states[file]})" for file in lacking[:5])
        raise HubUnreachableError(
            f"The cached {listing.repo_id} is not whole: {names}; and {located.offline}.",
            "Run again with the Hub in reach.",
        )
    with translated(listing.repo_id, listing.commit):
        for file in lacking:
            if states[file] == "damaged":
                progress.note(f"The cached {file.path} is damaged and is fetched anew.")
                store.remove(file, listing.commit)
    _require_space(store, sum(file.size for file in lacking))
    task = progress.task(f"Downloading {listing.repo_id}", sum(file.size for file in lacking))
    # Small ones first: a gated repository then says no before gigabytes have come.
    for file in sorted(lacking, key=lambda file: file.size):
        download(listing, file, store, retry=retry, progress=progress, task=task)
    task.finish()


def _require_space(store: Store, amount: int) -> None:
    folder = store.root
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if amount + _SPARE_BYTES > free:
        raise OutputError(
            f"{store.repo_id} needs {amount / 1e9:.3f} GB in {store.root.parent}, which has {free / 1e9:.3f} GB free.",
            "Free some space, or point HF_HOME at another folder.",
        )


def _refuse_foreign_files(located: _Located, allow_remote_code: bool) -> None:
    """A file in the snapshot's folder that the commit lacks, but that a loader would act on, changes the model."""
    folder = located.store.snapshot(located.listing.commit)
    known = {file.path for file in located.listing.files}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in known and is_read_by_loaders(name, allow_remote_code=allow_remote_code):
            raise CheckpointError(
                f"{path} is in the cache, but not in {located.listing.repo_id} at this commit.", "Remove that file."
            )


def _fetched(located: _Located, files: tuple[RemoteFile, ...]) -> Fetched:
    listing = located.listing
    return Fetched(located.store.snapshot(listing.commit), listing.repo_id, listing.commit, files)


def _header(located: _Located, file: RemoteFile, retry: Retry, progress: Progress) -> dict[str, object]:
    listing = located.listing
    local = located.store.snapshot(listing.commit) / file.path
    if local.is_file() and local.stat().st_size == file.size:
        return _local_header(local, file)
    if located.offline is not None:
        raise HubUnreachableError(
            f"{file.path} is not cached, and {located.offline}.", "Run again with the Hub in reach."
        )
    return read_header(
        lambda start, count: read_range(listing, file.path, start, count, retry=retry, progress=progress),
        file.size,
        file.path,
    )


def _local_header(path: Path, file: RemoteFile) -> dict[str, object]:
    def read(start: int, count: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(count)

    return read_header(read, file.size, file.path)


def _list_folder(folder: Path) -> Listing:
    """The files of a local folder and of its `additional_chat_templates`, without hashes; a GGUF alone."""
    try:
        if folder.is_file():
            return Listing(None, None, (RemoteFile(folder.name, folder.stat().st_size),))
        paths = [path for pattern in ("*", "additional_chat_templates/*") for path in folder.glob(pattern)]
        files = [
            RemoteFile(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths if path.is_file()
        ]
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {os.strerror(error.errno or errno.EIO)}.") from error
    return Listing(None, None, tuple(sorted(files, key=lambda file: file.path)))

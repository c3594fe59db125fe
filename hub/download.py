"""One file of the Hub into the cache, and not content until its content is right."""

from typing import Any, Self

from .. import __version__
from ..core.errors import HubUnreachableError
from ..core.progress import Progress, Task
from . import speed
from .client import Retry
from .faults import translated
from .listing import CommitListing, RemoteFile
from .store import Store

_FETCHES = 2  # a file that arrives damaged is fetched once more: two flipped transfers in a row are no accident


def download(
    listing: CommitListing, file: RemoteFile, store: Store, *, retry: Retry, progress: Progress, task: Task
) -> None:
    """Download `file` at the listing's commit and compare its hash; advance `task` by its size in bytes.

    huggingface_hub resumes a transfer that breaks off and checks the size. Answers such as 503, and content that is not
    what the list promises, are dealt with here.

    Raises:
        AccessError, OutputError: as `faults.translated`.
        HubUnreachableError: as there, and when the content is wrong twice.
    """
    meter = _meter(task, file.size)
    for _ in range(_FETCHES):
        with translated(listing.repo_id, listing.commit):
            store.sweep(file)
            retry.run(lambda: _to_cache(listing, file, meter), progress)
            state = store.state(file, listing.commit)
            if state == "sound":
                meter.complete()
                return
            store.remove(file, listing.commit)
        progress.detail(f"{file.path}: what arrived is {state}.")
    raise HubUnreachableError(
        f"{listing.repo_id}/{file.path}: twice, what the Hub sent was not what its file list promises.",
        "A proxy or mirror may alter files, or the Hub is in disorder: try again later, or without HF_ENDPOINT.",
    )


def _to_cache(listing: CommitListing, file: RemoteFile, meter: Any) -> None:
    from huggingface_hub import hf_hub_download

    meter.restart()
    speed.watch()
    hf_hub_download(
        listing.repo_id,
        file.path,
        revision=listing.commit,
        library_name="edgeconv",
        library_version=__version__,
        tqdm_class=meter,
    )


def _meter(task: Task, size: int) -> Any:
    """A stand-in for the tqdm class that huggingface_hub wants, which tells `task` each byte of one file once.

    A repeated transfer starts from zero; `task` is told again only when it passes the mark that it had reached.
    """

    class Meter:
        now = 0
        mark = 0

        def __init__(self, *_: object, initial: int = 0, **__: object) -> None:
            type(self).move(initial)

        @classmethod
        def move(cls, amount: float) -> None:
            cls.now = min(size, cls.now + int(amount))
            if cls.now > cls.mark:
                task.advance(cls.now - cls.mark)
                cls.mark = cls.now

        @classmethod
        def restart(cls) -> None:
            cls.now = 0

        @classmethod
        def complete(cls) -> None:
            cls.move(size - cls.now)

        def update(self, amount: float | None = 1) -> None:
            self.move(amount or 0)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return Meter

"""What a fetch would bring: the files of a checkpoint that a conversion reads, and how many of them are in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .listing import CommitListing, RemoteFile
from .store import Store


@dataclass(frozen=True)
class Pending:
    """Files and bytes of a checkpoint, in all and in the cache already; `cache` is the folder that the rest goes to.

    A file counts as cached by its name and size: hashes are the fetch's business, and one that turns out damaged comes again.
    """

    files: int
    bytes: int
    cached_files: int
    cached_bytes: int
    cache: Path

    @property
    def missing_bytes(self) -> int:
        """Bytes that have to come."""
        return self.bytes - self.cached_bytes

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**self.__dict__, "cache": str(self.cache)}


def pending(listing: CommitListing, wanted: Sequence[RemoteFile], store: Store) -> Pending:
    """Compare what is wanted with what lies in the cache; no file is read."""
    there = [file for file in wanted if store.has(file, listing.commit)]
    return Pending(
        len(wanted), sum(file.size for file in wanted), len(there), sum(file.size for file in there), store.root.parent
    )

"""Whose the files of a repository are: what a publication may replace and delete, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..core.errors import AccessError
from ..core.manifest import MANIFEST_NAME
from ..core.progress import Progress
from ..hub.client import Retry
from ..hub.repository import Repository
from . import record as records
from .asked import Publication
from .record import Record, Target

CARD = "README.md"


@dataclass(frozen=True)
class Holding:
    """A repository, seen from one target.

    Attributes:
        repository: as it was looked at.
        record: what edgeconv put there; None if there is no record that can be read.
        own: this target as it was published before.
        others: the targets beside it that stay.
        dropped: those whose place is taken because --replace names them.
    """

    repository: Repository
    record: Record | None
    own: Target | None
    others: Mapping[str, Target]
    dropped: Mapping[str, Target]

    def obsolete(self) -> tuple[str, ...]:
        """Name what this target and the dropped ones left there, is unchanged, and no other target needs."""
        kept = {name for target in self.others.values() for name in target.files}
        gone = [target for target in (self.own, *self.dropped.values()) if target]
        return tuple(sorted({name for target in gone for name in self._unchanged(target)} - kept))

    def require_ours(self, replaced: Iterable[str], replace: Iterable[str]) -> None:
        """Refuse to overwrite what this target did not put there, or what was changed there since.

        Raises:
            AccessError: names the files.
        """
        free = {*replace, *self.obsolete(), *self._common()}
        shared = {name: key for key, target in self.others.items() for name in target.files}
        foreign = [name for name in replaced if name not in free]
        if not foreign:
            return
        told = ", ".join(f"{name} (of {shared[name]})" if name in shared else name for name in foreign)
        raise AccessError(
            f"{self.repository.repo_id} holds files that this publication would overwrite, and that it did not put there, "
            f"or that were changed there since: {told}.",
            "Name another repository; or, if they may be lost, " + " ".join(f"--replace {name}" for name in foreign),
        )

    def _unchanged(self, target: Target) -> Iterable[str]:
        there = self.repository.files
        return (name for name, sent in target.files.items() if name in there and sent.is_still(there[name]))

    def _common(self) -> list[str]:
        """The card, unless somebody edited it, and the record itself."""
        if self.record is None:
            return []
        card = self.repository.files.get(CARD)
        return [records.NAME, *([CARD] if card and self.record.card.is_still(card) else [])]


def read_record(repository: Repository, retry: Retry, progress: Progress) -> Record | None:
    """Read the record of a repository; None if there is none, or none that this version understands.

    Raises:
        AccessError, HubUnreachableError: as `Repository.read`.
    """
    if records.NAME not in repository.files:
        return None
    return records.parse(repository.read(records.NAME, records.LARGEST, retry, progress))


def holding(asked: Publication, key: str, repository: Repository, record: Record | None) -> Holding:
    """See a repository from the target `key`."""
    targets = dict(record.targets) if record else {}
    own = targets.pop(key, None)
    dropped = {name: target for name, target in targets.items() if name in asked.replace}
    others = {name: target for name, target in targets.items() if name not in dropped}
    return Holding(repository, record, own, others, dropped)


def require_free(
    asked: Publication, repository: Repository, record: Record | None, expected: Iterable[str] = ()
) -> None:
    """Refuse a repository that holds files of somebody else under the names of ours, before there is anything to publish.

    Args:
        asked: what would be published.
        repository: as it was looked at.
        record: what edgeconv put there; files of any target of it are left for the publication to judge, unless changed.
        expected: names of the files beside card, record and manifest.

    Raises:
        AccessError: as `Holding.require_ours`.
    """
    names = dict.fromkeys((CARD, records.NAME, *([] if record else [MANIFEST_NAME]), *expected))
    recorded = dict(record.targets) if record else {}
    there = [name for name in names if name in repository.files]
    Holding(repository, record, None, {}, recorded).require_ours(there, asked.replace)

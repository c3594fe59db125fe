"""What a run costs, known before it starts: bytes to fetch, bytes to write, memory, and room on each file system."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import OutputError
from ...core.units import size
from ...hub.pending import Pending

SPARE = 64 << 20
"""Bytes that stay free on each file system: logs, records, the file system's own."""
DOWNLOAD, OUTPUT = "for the download", "for the output, staged beside it"


@dataclass(frozen=True)
class Need:
    """Bytes that a run puts below a folder, and what for."""

    what: str
    folder: Path
    bytes: int


@dataclass(frozen=True)
class Disk:
    """One file system: where it was met, what a run puts there by purpose, and what is free, in bytes."""

    folder: Path
    needs: Mapping[str, int]
    free: int

    @property
    def needed(self) -> int:
        """Bytes in all, with what stays free."""
        return sum(self.needs.values()) + SPARE

    @property
    def fits(self) -> bool:
        """True if there is room."""
        return self.needed <= self.free

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"folder": str(self.folder), "needs": dict(self.needs), "free": self.free, "fits": self.fits}

    def row(self) -> tuple[str, str]:
        """Label and value of the line that a person reads."""
        return "disk", f"{self.describe()}; {size(self.free)} free in {self.folder}"

    def describe(self) -> str:
        """Say what goes there."""
        return " and ".join(f"{size(count)} {what}" for what, count in self.needs.items())


@dataclass(frozen=True)
class Cost:
    """Of one conversion.

    Attributes:
        pending: what is to be fetched; None for a checkpoint that lies here.
        output_bytes: of all files of the artifact. They are staged beside the output and renamed, so that no more than these is
            needed for them; an artifact that `--force` replaces stays until then.
        memory_bytes: peak of the anonymous memory of all processes (`conversion.memory`).
        disks: each file system that the run writes to.
    """

    pending: Pending | None
    output_bytes: int
    memory_bytes: int
    disks: tuple[Disk, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "fetch": self.pending.as_dict() if self.pending else None,
            "output_bytes": self.output_bytes,
            "staging_bytes": self.output_bytes,
            "memory_bytes": self.memory_bytes,
            "disks": [disk.as_dict() for disk in self.disks],
        }

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""
        rows = [("memory", f"about {size(self.memory_bytes)} at the peak of the conversion, beside mapped files")]
        if self.pending:
            told = self.pending
            cached = f"{told.cached_files} of them, {size(told.cached_bytes)}, are" if told.cached_files else "none is"
            rows.insert(0, ("fetch", f"{told.files} files, {size(told.bytes)}; {cached} in the cache"))
        return rows + [disk.row() for disk in self.disks]


def cost(pending: Pending | None, output: Path, output_bytes: int, memory_bytes: int) -> Cost:
    """Measure the file systems for one conversion."""
    return Cost(pending, output_bytes, memory_bytes, disks(needs(pending, output, output_bytes)))


def needs(pending: Pending | None, output: Path, output_bytes: int) -> list[Need]:
    """List what one conversion puts where."""
    written = Need(OUTPUT, output.absolute().parent, output_bytes)
    if pending is None or not pending.missing_bytes:
        return [written]
    return [Need(DOWNLOAD, pending.cache, pending.missing_bytes), written]


def disks(asked: Iterable[Need]) -> tuple[Disk, ...]:
    """Add up what is needed on each file system, and ask how much is free."""
    found: dict[int, tuple[Path, dict[str, int]]] = {}
    for need in asked:
        folder = existing(need.folder)
        _, by_purpose = found.setdefault(folder.stat().st_dev, (folder, {}))
        by_purpose[need.what] = by_purpose.get(need.what, 0) + need.bytes
    return tuple(Disk(folder, by, shutil.disk_usage(folder).free) for folder, by in found.values())


def require(found: Iterable[Disk]) -> None:
    """Refuse to start what a file system cannot hold.

    Raises:
        OutputError: with the numbers.
    """
    for disk in found:
        if not disk.fits:
            raise OutputError(
                f"{disk.folder} has {size(disk.free)} free; needed are {size(disk.needed)}: {disk.describe()}, "
                f"{size(SPARE)} to spare.",
                "Free some space, or choose an --output (for the download: HF_HOME) on another disk.",
            )


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder

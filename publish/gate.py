"""The gate before the Hub: only an artefact that is whole, and whose report on exactly these files passed, goes through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ArtefactError, ParityError
from ..core.manifest import Manifest
from ..core.progress import Progress
from ..validate.formats.manifest import digest_of
from ..validate.report.model import Report
from ..validate.report.write import read
from .place import PARITY, Place, find

__all__ = ["PARITY", "Cleared", "clear"]


@dataclass(frozen=True)
class Cleared:
    """What may be published: `report` is None, and `objection` says why, only if the user insisted."""

    place: Place
    report: Report | None
    objection: str = ""

    @property
    def manifest(self) -> Manifest:
        """Of the artefact."""
        return self.place.manifest


def clear(folder: Path, progress: Progress, *, allow_unvalidated: bool = False) -> Cleared:
    """Check an artefact before it is published.

    Args:
        folder: with edgeconv.json, and the report in its folder `parity`; or a single GGUF with both beside it.
        progress: hears of the files.
        allow_unvalidated: let one through whose parity is not shown; never one that is damaged.

    Raises:
        ArtefactError: it is no artefact, or a file is not the manifest's.
        ParityError: there is no report, it is about other files, or it did not pass.
    """
    place = find(folder)
    files = place.check(progress)
    if not files.whole:
        names = ", ".join([*files.damaged, *files.missing])
        raise ArtefactError(f"{folder} is not what its manifest says: {names}.", "Convert the checkpoint again.")
    objection, report = _objection(place)
    if objection and not allow_unvalidated:
        raise ParityError(
            f"{folder} is not published: {objection}.",
            f"Run `edgeconv validate {folder} --report {place.report}`; --allow-unvalidated publishes it all the same, "
            "and says so on its card.",
        )
    return Cleared(place, None if objection else report, objection)


def _objection(place: Place) -> tuple[str, Report | None]:
    """Say in half a sentence what is wrong with the report; empty if nothing is."""
    if not place.report.is_dir():
        return "there is no parity report", None
    report = read(place.report)
    if report.artefact.digest != digest_of(place.manifest):
        return "its parity report is about other files", report
    if report.verdict == "undecided":
        return "its parity report had too few texts to judge", report
    if report.verdict != "passed":
        return f"its parity report failed ({report.first_failed})", report
    return "", report

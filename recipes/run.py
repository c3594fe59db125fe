"""Carry a unit out: convert, measure, publish. What an earlier run finished is not done again.

There is no file of states: a stage is done if its result is there and is what the stage would make. An artifact counts if its
files are its manifest's, and its source and options those of the unit; a report, if it is about exactly these files; and
publishing compares with the Hub by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..convert import conversion
from ..convert.conversion import source
from ..core import limits
from ..core.errors import ArtifactError, EdgeconvError, ExitCode, ParityError
from ..core.file_digest import file_digest
from ..core.manifest import Manifest, read_manifest
from ..core.progress import Progress
from ..publish.gate import PARITY
from ..publish.publish import publish
from ..validate.artifact import check_files
from ..validate.formats.manifest import digest_of
from ..validate.parity import validate
from ..validate.report import seal
from ..validate.report.model import Report
from ..validate.report.write import JSON_NAME, read, write
from .preview import foreign
from .publication import publication, require_possible, require_runtime
from .record import Record
from .unit import Unit


@dataclass(frozen=True)
class Outcome:
    """What became of a unit: `stages` maps those that were reached to "done", "as before" or "failed"."""

    unit: Unit
    stages: dict[str, str]
    error: EdgeconvError | None = None
    url: str | None = None

    @property
    def exit_code(self) -> ExitCode:
        """What this unit alone would end the program with."""
        return ExitCode(self.error.exit_code) if self.error else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        error = {"message": self.error.message, "hint": self.error.hint} if self.error else None
        return {
            "unit": self.unit.name,
            "output": str(self.unit.output),
            "stages": self.stages,
            "url": self.url,
            "exit_code": int(self.exit_code),
            "error": error,
        }


def carry_out(unit: Unit, progress: Progress, *, publishing: bool) -> Outcome:
    """Convert, measure and, if asked, publish; an error ends this unit and is part of its outcome."""
    stages: dict[str, str] = {}
    url = None
    try:
        require_runtime(unit.target)
        if publishing:
            require_possible(unit, progress)
        manifest = _converted(unit, stages, progress)
        if unit.target.parity:
            _measured(unit, manifest, stages, progress)
        if publishing and unit.target.publish:
            stages["publish"] = "failed"
            to = unit.target.publish
            sent = publish(publication(unit.output, to), progress)
            stages["publish"] = "as before" if sent.change.empty else "done"
            url = sent.url
    except EdgeconvError as error:
        return Outcome(unit, stages, error, url)
    return Outcome(unit, stages, None, url)


def exit_code(outcomes: Iterable[Outcome]) -> ExitCode:
    """Return 0 if all went well; else the first failure's code, an error before a lost parity."""
    codes = [outcome.exit_code for outcome in outcomes if outcome.error]
    return next((code for code in codes if code is not ExitCode.PARITY), codes[0] if codes else ExitCode.OK)


def _converted(unit: Unit, stages: dict[str, str], progress: Progress) -> Manifest:
    stages["convert"] = "failed"
    if unit.output.exists():
        manifest = _before(unit, progress)
        progress.note(f"{unit.name}: {unit.output} is there and whole.")
        stages["convert"] = "as before"
        return manifest
    Record(unit).write(None)  # first, so that whatever appears under the output's name is known to be this unit's
    made = conversion.run(unit.job, progress)
    stages["convert"] = "done"
    return made.manifest


def _before(unit: Unit, progress: Progress) -> Manifest:
    """Return the manifest of the artifact that is there.

    Raises:
        ArtifactError: this unit did not make it of this source, or it is damaged; it is not replaced.
    """
    if Record(unit).read("conversion") != unit.conversion():
        raise foreign(unit)
    manifest = read_manifest(unit.output)
    if not _same_source(unit, manifest, progress):
        raise foreign(unit)
    if not check_files(unit.output, manifest, progress).whole:
        raise ArtifactError(f"{unit.output} is damaged.", "Remove it; the next run makes it again.")
    return manifest


def _same_source(unit: Unit, manifest: Manifest, progress: Progress) -> bool:
    """Compare with what the Hub has at the revision now, or with the folder's files."""
    job = unit.job
    opened = source.headers(job.model, job.revision, progress, runs_code=False, local_files_only=job.local_files_only)
    if opened.commit:
        return opened.commit == manifest.source.commit
    return all(
        (opened.folder / name).is_file() and file_digest(opened.folder / name, progress) == expected.sha256
        for name, expected in manifest.source.files.items()
    )


def _measured(unit: Unit, manifest: Manifest, stages: dict[str, str], progress: Progress) -> None:
    """Measure, unless a report on these very files, held to the same, is there.

    Raises:
        ParityError: it is not the same model within its budget.
    """
    stages["parity"] = "failed"
    place, record = unit.output / PARITY, Record(unit)
    report = _report_before(place, manifest) if record.read("measurement") == unit.measurement() else None
    word = "as before" if report else "done"
    if report is None:
        report = validate(unit.ask(), progress)
        write(report, place, junit=place if unit.target.junit else None)
        record.write(unit.measurement())
    if report.verdict != "passed":
        why = "cannot be shown to be" if report.verdict == "undecided" else "is not"
        raise ParityError(
            f"{unit.name} {why} the same model within its budget ({report.first_failed or 'too few texts to judge'}).",
            f"The report is {place / 'parity.html'}.",
        )
    stages["parity"] = word


def _report_before(place: Path, manifest: Manifest) -> Report | None:
    if not (place / JSON_NAME).is_file():
        return None
    try:
        report = read(place)
        sealed = seal.state(limits.read_bytes(place / JSON_NAME, limits.REPORT, ArtifactError)) == "sealed"
    except (ArtifactError, OSError):
        return None  # of another version: it is measured again
    return report if sealed and report.artifact.digest == digest_of(manifest) else None

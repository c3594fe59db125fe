"""The gate before the Hub: only an artifact that is whole, and whose report on exactly these files passed, goes through.

What comes through holds the files as they were hashed here (`hub.sealed`): sending reads those bytes or ends with an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from ..core import limits
from ..core.errors import ArtifactError, ParityError
from ..core.manifest import Manifest
from ..core.progress import Progress
from ..hub.listing import is_safe_name
from ..hub.sealed import SealedFile
from ..validate.formats.manifest import digest_of
from ..validate.report import seal
from ..validate.report.model import Report
from ..validate.report.write import JSON_NAME, parse
from .place import PARITY, Place, find
from .record import may_be_published

__all__ = ["PARITY", "Cleared", "clear"]

LARGEST_REPORT = limits.REPORT
_OURS = re.compile(r"^readme\.md$|(^|\.)(edgeconv\.(published\.)?json|parity)$")
"""Names that a publication gives itself."""


@dataclass(frozen=True)
class Cleared:
    """What may be published: `report` is None, and `objection` says why, only if the user insisted.

    `files` are those of the manifest by name; `manifest_data` and `report_data` the very bytes that were read and checked.
    """

    place: Place
    report: Report | None
    objection: str = ""
    files: Mapping[str, SealedFile] = field(default_factory=dict)
    manifest_data: bytes = b""
    report_data: bytes | None = None

    @property
    def manifest(self) -> Manifest:
        """Of the artifact."""
        return self.place.manifest

    def close(self) -> None:
        """Close the files."""
        for file in self.files.values():
            file.close()


def clear(folder: Path, progress: Progress, *, allow_unvalidated: bool = False) -> Cleared:
    """Check an artifact before it is published.

    Args:
        folder: with edgeconv.json, and the report in its folder `parity`; or a single GGUF with both beside it.
        progress: reports the files.
        allow_unvalidated: let one through whose parity is not shown; never one that is damaged.

    Raises:
        ArtifactError: it is not an artifact, a file is not the manifest's, is a link, or has a name that no repository may hold.
        ParityError: there is no report, it is about other files, was edited, or did not pass.
    """
    place = find(folder)
    _require_names(place)
    manifest_data = SealedFile(place.manifest_path).content()
    try:
        same = Manifest.model_validate_json(manifest_data) == place.manifest
    except ValidationError:
        same = False
    if not same:
        raise ArtifactError(f"{place.manifest_path} changed while it was read.", "Publish again.")
    objection, report, report_data = _objection(place)
    if objection and not allow_unvalidated:
        raise ParityError(
            f"{folder} is not published: {objection}.",
            f"Run `edgeconv validate {folder} --report {place.report}`; --allow-unvalidated publishes it all the same, "
            "and says so on its card.",
        )
    files = _sealed(place, progress)
    if objection:
        return Cleared(place, None, objection, files, manifest_data)
    return Cleared(place, report, "", files, manifest_data, report_data)


def _require_names(place: Place) -> None:
    for name in place.manifest.outputs:
        if not is_safe_name(name):
            raise ArtifactError(
                f"The manifest in {place.path} names a file outside the folder: {name!r}.", "Do not use it."
            )
        ours = _OURS.search(name.split("/")[0].lower())
        if not may_be_published(name) or ours:
            raise ArtifactError(
                f"The manifest of {place.path} names a file {name!r}, which no conversion writes and no repository may hold.",
                "Do not use the model; convert the checkpoint again.",
            )


def _sealed(place: Place, progress: Progress) -> dict[str, SealedFile]:
    """Open and hash every file of the manifest. Raises ArtifactError."""
    outputs = place.manifest.outputs
    task = progress.task("Checking files", sum(file.size for file in outputs.values()))
    with ExitStack() as opened:
        files: dict[str, SealedFile] = {}
        for name in sorted(outputs):
            path = place.folder / name
            if path.is_symlink() or path.exists():
                _require_no_links(place.folder, name)
                files[name] = opened.enter_context(closing(SealedFile(path, task.advance)))
        wrong = [
            name
            for name, expected in sorted(outputs.items())
            if name not in files or (files[name].size, files[name].sha256) != (expected.size, expected.sha256)
        ]
        if wrong:
            raise ArtifactError(
                f"{place.path} is not what its manifest says: {', '.join(wrong)}.", "Convert the checkpoint again."
            )
        opened.pop_all()  # they are closed by whoever asked
    task.finish()
    return files


def _require_no_links(folder: Path, name: str) -> None:
    """Refuse a folder on the way that is a link; the file itself is opened so that it cannot be one."""
    for parent in list(PurePosixPath(name).parents)[:-1]:
        if (folder / parent).is_symlink():
            raise ArtifactError(f"{folder / parent} is a link to another folder.", "Put the folder itself there.")


def _objection(place: Place) -> tuple[str, Report | None, bytes | None]:
    """Say in half a sentence what is wrong with the report; empty if nothing is."""
    path = place.report / JSON_NAME
    if place.report.is_symlink():
        raise ArtifactError(f"{place.report} is a link to another folder.", "Put the folder itself there.")
    if not path.is_symlink() and not path.exists():
        return "there is no parity report", None, None
    if path.lstat().st_size > LARGEST_REPORT:
        raise ArtifactError(f"{path} is larger than any report.", "Run `edgeconv validate` again.")
    data = SealedFile(path).content()
    report = parse(data, str(path))
    state = seal.state(data)
    objections = {
        "its parity report is about other files": report.artifact.digest != digest_of(place.manifest),
        "its parity report was edited after it was written": state == "edited",
        "its parity report has no seal: an earlier version wrote it, or it was edited": state == "unsealed",
        "its parity report had too few texts to judge": report.verdict == "undecided",
        f"its parity report failed ({report.first_failed})": report.verdict != "passed",
    }
    return next((text for text, holds in objections.items() if holds), ""), report, data

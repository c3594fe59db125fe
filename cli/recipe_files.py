"""The files that a recipe of `edgeconv search` names: in its folder, so that it runs as it is, here and where it is taken to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ..core.errors import OutputError
from ..core.limits import MATRIX, read_bytes
from ..core.scratch import scratch

FIELDS = ("suite", "calibration", "imatrix")
"""Fields of a target that name a file, if the value is an absolute path."""
_SUITES = (".yaml", ".yml")


def bring(recipe: dict[str, Any], place: Path, *, force: bool) -> dict[str, Any]:
    """Return a recipe whose files are named relative to the folder that it is about to be saved in.

    A file outside of that folder is copied into NAME.files beside the recipe, a suite with all that it names.

    Args:
        recipe: with absolute paths.
        place: the file that it is going to be.
        force: replace files of other content there.

    Raises:
        OutputError: one cannot be copied, or another file has its name.
        UsageError: a suite cannot be read any more.
    """
    brought = copy.deepcopy(recipe)
    for target in brought["targets"].values():
        for field in FIELDS:
            value = target.get(field)
            if isinstance(value, str) and Path(value).is_absolute():
                target[field] = _name(Path(value), place, force=force)
    return brought


def _name(file: Path, place: Path, *, force: bool) -> str:
    home, file = place.parent.resolve(), file.resolve()
    if file.is_relative_to(home):
        return file.relative_to(home).as_posix()
    folder = place.with_name(f"{place.stem}.files")
    for part in _parts(file):
        _copy(part, folder / part.relative_to(file.parent), force=force)
    return f"{folder.name}/{file.name}"


def _parts(file: Path) -> list[Path]:
    """Return a file, and for a suite in YAML those that it names, all in its folder."""
    if file.suffix.lower() not in _SUITES:
        return [file]
    from ..validate.suite.files import named

    return [file, *named(file)]


def _copy(file: Path, to: Path, *, force: bool) -> None:
    try:
        content = read_bytes(file, MATRIX, OutputError)
        if to.is_file() and to.stat().st_size == len(content) and read_bytes(to, MATRIX, OutputError) == content:
            return
        if to.exists() and not force:
            raise OutputError(f"{to} exists.", "Repeat with --force to replace it, or choose another --output.")
        to.parent.mkdir(parents=True, exist_ok=True)
        with scratch(to.parent, f".{to.name}.partial-") as folder:
            (folder / to.name).write_bytes(content)
            (folder / to.name).replace(to)
    except OSError as error:
        raise OutputError(f"{to} cannot be written: {error.strerror}.", "Choose another --output.") from error

"""Write a report as files, each of them whole or not at all, and read it back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...core import limits
from ...core.durable import sync_open
from ...core.errors import ArtifactError, OutputError
from ...core.own_text import require_own
from ...core.scratch import scratch
from . import html, markdown
from .junit import render as junit_xml
from .model import Report
from .seal import FIELD, seal_of

JSON_NAME, MARKDOWN_NAME, HTML_NAME, JUNIT_NAME = "parity.json", "parity.md", "parity.html", "parity.xml"
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
_COMPACT_DEPTH = 4
"""Values that lie this deep (a token, a figure, a block of positions) take one line each, so that a diff can be read."""


def require_own_reports(folder: Path | None, junit: Path | None = None) -> None:
    """Refuse, before anything is measured, to write a report over what edgeconv did not write.

    Raises:
        OutputError: a file of somebody else's has the name of one that would be written.
    """
    for name in (JSON_NAME, MARKDOWN_NAME, HTML_NAME):
        if folder is not None:
            require_own(folder / name)
    if junit is not None:
        require_own(junit / JUNIT_NAME if junit.is_dir() else junit)


def write(report: Report, folder: Path, *, junit: Path | None = None) -> None:
    """Write parity.json, parity.md and parity.html into `folder`, and JUnit XML to `junit` if that is given.

    `junit` may be a folder that exists: then the file in it is called parity.xml. If GITHUB_STEP_SUMMARY is set, the Markdown is
    appended to that file, where GitHub Actions shows it.

    Raises:
        OutputError: a file cannot be written. Those written before it are whole.
    """
    report = report.model_copy(update={FIELD: seal_of(report.model_dump(mode="json"))})
    summary = markdown.render(report)
    write_file(folder / JSON_NAME, dump(report))
    write_file(folder / MARKDOWN_NAME, summary)
    write_file(folder / HTML_NAME, html.render(report))
    if junit is not None:
        write_junit(report, junit)
    step_summary = os.environ.get(SUMMARY_VARIABLE)
    if step_summary:
        try:
            with Path(step_summary).open("a", encoding="utf-8") as file:
                file.write(summary + "\n")
        except OSError as error:
            raise OutputError(
                f"{step_summary} cannot be written: {error.strerror}.", f"{SUMMARY_VARIABLE} names it; unset that."
            ) from error


def write_junit(report: Report, junit: Path) -> None:
    """Write JUnit XML to a file, or to parity.xml in a folder that exists. Raises OutputError."""
    write_file(junit / JUNIT_NAME if junit.is_dir() else junit, junit_xml(report))


def require_place(folder: Path) -> None:
    """Write a file where a report is to go, and take it away again: a wrong place must not cost a measurement.

    Raises:
        OutputError: nothing can be written there.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch(folder, f".{JSON_NAME}.partial-") as place:
            (place / JSON_NAME).write_text("{}", "utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.", "Choose another place for it.") from error
    finally:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def dump(report: Report) -> str:
    """Return the text of parity.json: sorted keys, one form for one content, and a seal over it."""
    content = report.model_dump(mode="json")
    content[FIELD] = seal_of(content)
    return _json(content, 0) + "\n"


def read(path: Path) -> Report:
    """Read a parity.json, or the one in a folder.

    Raises:
        ArtifactError: there is none, it cannot be read, or it is not a report that this version understands.
    """
    path = path / JSON_NAME if path.is_dir() else path
    try:
        data = limits.read_bytes(path, limits.REPORT, ArtifactError)
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} does not exist.", "`edgeconv validate OUT --report FOLDER` writes it.") from error
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    return parse(data, str(path))


def parse(data: bytes, path: str) -> Report:
    """Read the content of a parity.json, which messages call `path`. Raises ArtifactError as `read`."""
    try:
        return Report.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ArtifactError(
            f"{path} is not a valid report: {where}: {first['msg']}.", "It was edited or written by another version."
        ) from error


def _json(value: Any, depth: int) -> str:
    if not value or not isinstance(value, dict | list) or depth >= _COMPACT_DEPTH:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_json(value[key], depth + 1)}" for key in sorted(value)]
    else:
        items = [_json(item, depth + 1) for item in value]
    inner = ",\n".join(" " * (depth + 1) + item for item in items)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}\n{' ' * depth}{closing}"


def write_file(path: Path, text: str, *, force: bool = False) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the new one.

    Args:
        path: a file of somebody else's that lies there is not replaced, unless `force`.
        text: the content.
        force: replace any file.

    Raises:
        OutputError: it cannot be written, or there is a file that edgeconv did not write.
    """
    if not force:
        require_own(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch(path.parent, f".{path.name}.partial-") as folder:
            with (folder / path.name).open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                sync_open(file.fileno(), path)
            (folder / path.name).replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", "Choose another place for it.") from error

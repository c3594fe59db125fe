"""What edgeconv writes over is its own, by what stands in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core.errors import OutputError
from edgeconv.core.own_text import is_own, require_own
from edgeconv.validate.report.write import require_own_reports, write, write_file

from ..validate import report_samples
from .artifacts import make

FOREIGN = {
    "notes.txt": b"three years of notes\n",
    "page.html": b"<!doctype html>\n<html><head><title>Mine</title></head></html>",
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "junit.xml": b'<?xml version="1.0"?>\n<testsuites name="pytest"></testsuites>',
    "report.json": b'{"report": 1, "verdict": "passed"}',
    "list.json": b"[1]",
    "half.json": b'{"report": 1, ',
    "deep.json": b'{"a":' * 100_000,
    "readme.md": b"## Passed: parity of nothing\n",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_wrote_is_not_ours(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FOREIGN[name])
    assert not is_own(path)
    with pytest.raises(OutputError, match=re.escape(f"{path} exists, and is not a report of edgeconv")) as caught:
        write_file(path, "new")
    assert caught.value.hint
    assert path.read_bytes() == FOREIGN[name]
    assert [one.name for one in tmp_path.iterdir()] == [name]
    write_file(path, "new", force=True)
    assert path.read_text() == "new"


def test_a_manifest_is_no_report(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(OutputError, match="not a report"):
        write_file(tmp_path / "edgeconv.json", "new")


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for path in (*tmp_path.iterdir(), Path("/dev/null")):
        with pytest.raises(OutputError, match="is not a file"):
            write_file(path, "new")
    assert Path("/dev/null").is_char_device()


def test_an_empty_file_is_free(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    write_file(tmp_path / "x", "new")
    write_file(tmp_path / "y", "new")
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("verdict", ["passed", "failed", "undecided"])
def test_reports_of_ours_are_written_over(verdict: Any, tmp_path: Path) -> None:
    report = report_samples.report(verdict, tokens=20)
    for _ in range(2):
        require_own_reports(tmp_path / "r", tmp_path / "j.xml")
        write(report, tmp_path / "r", junit=tmp_path / "j.xml")
    made = [*(tmp_path / "r").iterdir(), tmp_path / "j.xml"]
    assert len(made) == 4
    assert all(is_own(path) for path in made)


DOCS = Path(__file__).parents[2] / "docs"
REPORTS = sorted((DOCS / "example-report").iterdir())
REPORTS += [
    path for kind in ("frontier", "sensitivity") for path in sorted(DOCS.glob(f"{kind}-*.*")) if path.suffix != ".md"
]


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_reports_of_older_versions_are_known(path: Path) -> None:
    assert is_own(path)


@pytest.mark.parametrize("name", ["parity.json", "parity.md", "parity.html", "j.xml"])
def test_a_foreign_file_is_refused_before_anything_is_measured(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="not a report"):
        require_own_reports(tmp_path, tmp_path / "j.xml")
    require_own(tmp_path / "another")

"""The commands themselves: whatever of the user's lies in and around what they are given is there afterwards, as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ..core.test_foreign_files import plant, seen
from .conftest import Command

AROUND = {
    "out.partial-results/measurements.csv": b"mine",
    "out.partial-0123456789abcdef/measurements.csv": b"mine",
    "x.gguf.partial-results/a.csv": b"mine",
    ".parity.json.partial-mine/a": b"mine",
    "notes.txt": b"mine",
    "out.parity/parity.md": b"mine",
    "cache/figures/plot.png": b"mine",
    "cache/reference/paper.pdf": b"mine",
    "cache/native/lib.c": b"mine",
    "cache/digests.json": b"mine",
    "tmp/edgeconv-genai-mine/a": b"mine",
    "tmp/edgeconv-trial-mine/a": b"mine",
}
INSIDE = {
    ".git/HEAD": b"mine",
    "README.md": b"mine",
    "notes/lab.txt": b"mine",
    "parity/parity.md": b"mine",
    "empty": None,
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "work"
    plant(root, AROUND)
    monkeypatch.chdir(root)
    monkeypatch.setenv("EDGECONV_CACHE", str(root / "cache"))
    monkeypatch.setenv("TMPDIR", str(root / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return root


def kept(work: Path, before: dict[str, Any]) -> None:
    after = seen(work)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.fault(
    "process: files of the user's in and around the output, in TMPDIR and in the cache",
    says="All are there afterwards, as they were.",
)
@pytest.mark.parametrize(
    ("convert", "name"),
    [(("openvino", "-p", "int8"), "out"), (("gguf",), "out"), (("gguf",), "x.gguf")],
    ids=["openvino", "gguf", "one file"],
)
def test_conversions(convert: tuple[str, ...], name: str, work: Path, edgeconv: Command, builtin_model: Path) -> None:
    before = seen(work)
    line = (*convert, "-m", builtin_model, "-o", name)
    made = edgeconv(*line)
    assert made.code == 0, made.err
    kept(work, before)
    if name == "out":
        plant(work / "out", INSIDE)
        before = {**before, **{f"out/{inner}": what for inner, what in seen(work / "out").items() if inner in INSIDE}}
    assert edgeconv(*line).code == 1
    kept(work, before)
    again = edgeconv(*line, "--force")
    assert again.code == 0, again.err
    kept(work, before)
    for command in (("inspect", name), ("verify", f"./{name}"), ("cache", "ls"), ("cache", "clear")):
        edgeconv(*command)
        kept(work, before)


@pytest.mark.parametrize("option", ["--report", "--junit"])
@pytest.mark.fault(
    "process: --report or --junit names a file of the user's", says="Refused before anything is measured."
)
def test_a_report_is_not_written_over_a_text(option: str, work: Path, edgeconv: Command, artifact: Path) -> None:
    shutil.move(artifact, work / "out")
    plant(work / "report", {"parity.html": b"<html>mine</html>"})
    before = seen(work)
    place = "report" if option == "--report" else "notes.txt"
    refused = edgeconv("validate", "out", option, place)
    assert refused.code == 1
    assert "is not a report of edgeconv" in refused.err
    assert "hint:" in refused.err
    assert seen(work) == before

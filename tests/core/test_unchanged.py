"""Files that must stay as they are: what counts as a change, and which files count."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError
from edgeconv.core.unchanged import Unchanged


def with_old_times(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"B" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swapped(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda path: path.write_bytes(b"A" * 9),
    "written, and its time set back": with_old_times,
    "the same bytes in another file": swapped,
    "removed": Path.unlink,
    "cut short": lambda path: os.truncate(path, 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen(change: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"A" * 10)
    seen = Unchanged([path])
    assert seen.sha256(path) == (10, hashlib.sha256(b"A" * 10).hexdigest())
    path.read_bytes()
    seen.require()
    CHANGES[change](path)
    with pytest.raises(CheckpointError, match=r"a\.bin was written, replaced or removed") as caught:
        seen.require()
    assert caught.value.hint
    if path.exists():
        with pytest.raises(CheckpointError, match=r"a\.bin"):
            seen.sha256(path)


def test_a_file_that_grows_while_it_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"A" * 10)
    true, grown = os.readv, []

    def reading(descriptor: int, blocks: list[bytearray]) -> int:
        if not grown:
            grown.append(path.open("ab").write(b"A"))
        return true(descriptor, blocks)

    monkeypatch.setattr(os, "readv", reading)
    with pytest.raises(CheckpointError, match=r"a\.bin"):
        Unchanged().sha256(path)


@pytest.mark.parametrize(
    ("name", "counts"), [("notes.txt", False), ("x.py", False), ("config.json", True), ("merges.txt", True)]
)
def test_notes_beside_a_model_may_change(name: str, counts: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text("1")
    seen = Unchanged()
    seen.add_folder(tmp_path)
    (tmp_path / name).write_text("22")
    (tmp_path / "added.json").write_text("{}")
    if counts:
        with pytest.raises(CheckpointError, match=name):
            seen.require_model()
    else:
        seen.require_model()


def test_a_checkpoint_knows_its_files(builtin_model: Path, tmp_path: Path) -> None:
    for path in builtin_model.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    checkpoint = open_checkpoint(tmp_path)
    checkpoint.require_unchanged()
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        checkpoint.require_unchanged()

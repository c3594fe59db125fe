"""What a validation keeps for the next: found again only as it was kept, and never for another edgeconv."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from edgeconv.core import kept
from edgeconv.core.file_digest import file_digest
from edgeconv.core.progress import Silent
from edgeconv.validate import cache

STATES = [np.arange(12, dtype=np.float32).reshape(4, 3), np.ones((2, 3), np.float32)]
PEAKS = [1.5, 2.5]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path))
    cache.put("name", STATES, PEAKS, "states", Silent())
    return tmp_path / "reference" / "name"


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_states_come_back(folder: Path) -> None:
    told = Told()
    found = cache.get("name", told)
    assert told.notes == []
    assert cache.get("absent", told) is None
    assert told.notes == []
    assert found is not None
    states, peaks = found
    assert peaks == PEAKS
    assert all(np.array_equal(one, other) for one, other in zip(states, STATES, strict=True))
    assert [entry.tokens for entry in cache.entries()] == [6]


@pytest.mark.parametrize(
    "fault",
    [
        "bit",
        "cut",
        "missing",
        "other shape",
        "meta",
        "peaks",
        "empty",
        "pickle",
        "list",
        "not utf-8",
        "no meta",
        "deep",
    ],
)
def test_damaged_states_are_absent_and_kept_anew(fault: str, folder: Path) -> None:
    file, meta = folder / "1.npy", folder / "meta.json"
    if fault == "bit":
        raw = bytearray(file.read_bytes())
        raw[-1] ^= 1
        file.write_bytes(raw)
    elif fault == "cut":
        file.write_bytes(file.read_bytes()[:-3])
    elif fault == "missing":
        file.unlink()
    elif fault == "other shape":
        np.save(file, STATES[1].reshape(3, 2))
    elif fault == "meta":
        meta.write_text(meta.read_text()[:-5])
    elif fault == "peaks":
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"peaks": [1.0, 2.0]}))
    elif fault == "empty":
        file.write_bytes(b"")
    elif fault == "list":
        meta.write_text("[1, 2]")
    elif fault == "not utf-8":
        meta.write_bytes(b"\xff\xfe{}")
    elif fault == "no meta":
        meta.unlink()
    elif fault == "deep":
        meta.write_text("[" * 100_000)
    else:
        np.save(file, np.array([None]), allow_pickle=True)
    told = Told()
    assert cache.get("name", told) is None
    (note,) = told.notes
    assert "damaged" in note
    assert str(folder.parent.parent) in note
    assert "edgeconv cache clear" in note
    assert len(cache.entries()) == 1
    cache.put("name", STATES, PEAKS, "states", Silent())
    assert cache.get("name", told) is not None
    assert len(told.notes) == 1


def test_a_key_holds_all_that_shapes_the_states(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(**changes: str) -> str:
        asked = {"weights": "w", "dtype": "float32", "attention": "sdpa"} | changes
        return cache.key(asked["weights"], [[1, 2]], asked["dtype"], asked["attention"])

    known = {key(), key(weights="x"), key(dtype="bfloat16"), key(attention="eager")}
    for package in ("edgeconv", "torch", "transformers"):
        with monkeypatch.context() as patch:
            patch.setattr(cache, "version", lambda name, package=package: "0" if name == package else "1")
            known.add(key())
    assert len(known) == 7


def test_a_file_altered_in_place_with_size_and_time_kept_is_hashed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "shard"
    file.write_bytes(b"before")
    stat = file.stat()
    first = file_digest(file, Silent())
    with file.open("r+b") as opened:
        opened.write(b"after ")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_mtime_ns == stat.st_mtime_ns
    assert file_digest(file, Silent()) != first


DAMAGE = [b"", b'{"value": ', b"[1, 2]", b"\xff\xfe\x00", b"null", b'{"value": "0", "sha256": "0"}', b"[" * 100_000]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_digest_is_made_again_and_told_once(
    damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "shard"
    file.write_bytes(b"weights")
    first = file_digest(file, Silent())
    (kept_,) = (tmp_path / "cache" / "digests").glob("*.json")
    kept_.write_bytes(damage)
    told = Told()
    assert file_digest(file, told) == first
    assert len(told.notes) == 1
    assert str(tmp_path / "cache") in told.notes[0]
    assert file_digest(file, told) == first
    assert len(told.notes) == 1


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"value": 2}', '{"value": 2, "sha256": "0"}', "1.5"])
def test_an_altered_figure_is_absent(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path))
    figures = kept.Kept("test", {"a": 1}, Silent())
    figures.put("one", {"2": [1.5], "10": None})
    assert figures.get("one") == {"2": [1.5], "10": None}
    (path,) = figures.folder.glob("*.json")
    path.write_text(text)
    told = Told()
    assert kept.Kept("test", {"a": 1}, told).get("one") is None
    assert len(told.notes) == 1
    assert kept.Kept("test", {"a": 1}, told).get("two") is None
    assert len(told.notes) == 1

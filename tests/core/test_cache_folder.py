"""`edgeconv cache clear` removes what edgeconv keeps and nothing else, whatever EDGECONV_CACHE names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeconv.core import kept
from edgeconv.core.cache_folder import MARKER, PARTS, cache_folder, clear, open_part, part
from edgeconv.core.file_digest import file_digest
from edgeconv.core.progress import Silent
from edgeconv.core.scratch import scratch
from edgeconv.validate import cache

from .test_foreign_files import seen

KEY = "0" * 32


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(tmp_path: Path) -> None:
    """Keep one thing of each kind that this package keeps itself."""
    (tmp_path / "weights").write_bytes(b"weights")
    file_digest(tmp_path / "weights", Silent())
    cache.put(KEY, [np.ones((2, 3), np.float32)], [1.0], "states", Silent())
    kept.Kept("trial", {"a": 1}, Silent()).put("one", 1)


def test_the_folder_is_where_the_system_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGECONV_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "edgeconv"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "edgeconv"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    assert cache_folder() == tmp_path / ".cache" / "edgeconv"
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_everything_of_ours_goes(root: Path, tmp_path: Path) -> None:
    fill(tmp_path)
    freed, left = clear()
    assert freed > 100
    assert left == []
    assert list(root.iterdir()) == []
    assert clear() == (0, [])


@pytest.mark.parametrize("name", PARTS)
def test_a_folder_of_the_users_stays_and_ours_lies_beside_it(name: str, root: Path, tmp_path: Path) -> None:
    (root / name / "deep").mkdir(parents=True)
    (root / name / "plot.png").write_bytes(b"mine")
    (root / "thesis.tex").write_text("mine")
    before = seen(root)
    fill(tmp_path)
    assert open_part(name) == root / f"edgeconv-{name}"
    assert kept.Kept("trial", {"a": 1}, Silent()).get("one") == 1
    assert cache.get(KEY, Silent()) is not None
    _, left = clear()
    assert left == sorted([root / name, root / "thesis.tex"])
    assert seen(root) == before


def test_what_the_user_put_among_ours_stays(root: Path, tmp_path: Path) -> None:
    fill(tmp_path)
    (root / "reference" / "notes.txt").write_text("mine")
    (root / "reference" / "link").symlink_to(tmp_path / "weights")
    clear()
    assert sorted(path.name for path in (root / "reference").iterdir()) == [MARKER, "link", "notes.txt"]
    assert (tmp_path / "weights").read_bytes() == b"weights"


def test_a_part_that_is_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "far" / KEY).mkdir(parents=True)
    root.mkdir()
    (root / "reference").symlink_to(tmp_path / "far")
    clear()
    assert (tmp_path / "far" / KEY).is_dir()


def test_caches_of_older_versions_are_known_by_their_names(root: Path) -> None:
    for place in (root / "reference" / KEY, root / "figures" / f"trial-{KEY}", root / "native" / KEY, root / "float32"):
        place.mkdir(parents=True)
        (place / "x").write_text("x") if place.name != "float32" else None
    (root / "digests.json").write_text(json.dumps({"/m/a.safetensors|1|2|3|4": "0" * 64}))
    assert part("reference") == root / "reference"
    assert clear()[1] == []
    assert list(root.iterdir()) == []


def test_a_marker_that_was_cut_short_makes_nobody_else_the_owner(root: Path, tmp_path: Path) -> None:
    fill(tmp_path)
    (root / "reference" / MARKER).write_text('{"mag')
    assert part("reference") == root / "reference"
    assert clear()[1] == []
    (root / "reference").mkdir()
    (root / "reference" / MARKER).write_text("")
    (root / "reference" / "notes.txt").write_text("mine")
    assert part("reference") == root / "edgeconv-reference"


@pytest.mark.parametrize("text", ["", "[]", "{}", '["a|b|c|d|e"]', '{"a": 1}', '{"note": "mine"}', "\udcff"])
def test_a_book_of_somebody_elses_stays(text: str, root: Path) -> None:
    root.mkdir()
    (root / "digests.json").write_text(text, "utf-8", "surrogateescape")
    assert clear() == (0, [root / "digests.json"])


def test_what_a_run_works_on_stays(root: Path) -> None:
    with scratch(open_part("reference"), ".partial-") as folder:
        (folder / "half").write_text("half")
        clear()
        assert (folder / "half").is_file()

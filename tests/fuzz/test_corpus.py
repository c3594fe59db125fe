"""Files that fuzzing has found (`coverage.py`), given again to their readers: only edgeconv's own errors come out."""

from pathlib import Path

import pytest

from .bounds import bounded, little_memory
from .small_targets import SMALL
from .targets import ALL

CORPUS = Path(__file__).with_name("corpus")
KINDS = {kind.name.replace(" ", "-"): kind for kind in (*ALL, *SMALL)}
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_replayed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    target = KINDS[path.parent.name](tmp_path)
    with little_memory(), bounded(tmp_path):
        target.run(path.read_bytes())


def test_the_corpus_is_there_and_small() -> None:
    assert FILES
    assert all(path.stat().st_size < 20_000 for path in FILES)

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeconv.core.errors import ArtifactError
from edgeconv.hub import sealed
from edgeconv.hub.sealed import SealedFile
from edgeconv.hub.upload import blob_id

from .server import git_sha1

DATA = bytes(range(256)) * 5


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sealed, "BLOCK", 100)
    (tmp_path / "model.bin").write_bytes(DATA)
    return tmp_path / "model.bin"


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 1280])
def test_it_knows_what_it_read(count: int, path: Path) -> None:
    path.write_bytes(DATA[:count])
    heard: list[int] = []
    file = SealedFile(path, heard.append)
    assert (file.size, file.sha256) == (count, hashlib.sha256(DATA[:count]).hexdigest())
    assert (sum(heard), file.content(), blob_id(file)) == (count, DATA[:count], git_sha1(DATA[:count]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(reads=st.lists(st.tuples(st.integers(0, 1300), st.integers(-1, 400)), max_size=8))
def test_any_reads_give_the_bytes_of_the_file(reads: list[tuple[int, int]], path: Path) -> None:
    with SealedFile(path).open() as reader:
        for start, count in reads:
            assert reader.seek(start) == start
            assert reader.read(count) == DATA[start:][: None if count < 0 else count]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, len(DATA) - 1), cut=st.booleans())
def test_a_byte_that_changes_is_never_handed_out(at: int, cut: bool, path: Path) -> None:
    path.write_bytes(DATA)
    file = SealedFile(path)
    with path.open("r+b") as raw:
        if cut:
            raw.truncate(at)
        else:
            raw.seek(at)
            raw.write(bytes([DATA[at] ^ 1]))
    reader, read = file.open(), b""
    with pytest.raises(ArtifactError, match="changed while it was being published"):
        while True:
            read += reader.read(64)
            assert DATA.startswith(read)
    assert len(read) <= at
    file.close()


def test_a_file_that_is_renamed_over_is_still_the_one_that_was_opened(path: Path, tmp_path: Path) -> None:
    file = SealedFile(path)
    (tmp_path / "new").write_bytes(b"another")
    (tmp_path / "new").replace(path)
    assert file.content() == DATA
    file.close()


def test_links_and_pipes_are_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ArtifactError, match="is a link, and only files are published"):
        SealedFile(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="not a regular file"):
        SealedFile(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="cannot be read: No such file"):
        SealedFile(tmp_path / "absent")


def test_small_files_need_no_open_one(path: Path) -> None:
    path.write_bytes(b"small")
    before = len(list(Path("/proc/self/fd").iterdir()))
    files = [SealedFile(path) for _ in range(50)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    path.write_bytes(b"other")
    assert {file.content() for file in files} == {b"small"}

import json
from pathlib import Path

import filelock
import pytest

from edgeconv.core.errors import HubUnreachableError
from edgeconv.core.progress import Silent
from edgeconv.hub.client import Retry
from edgeconv.hub.fetch import Fetched, fetch
from edgeconv.hub.listing import RemoteFile
from edgeconv.hub.source import parse
from edgeconv.hub.store import Store

from .conftest import Recorder
from .server import Files, HubServer, git_sha1

QUICK = Retry(attempts=2, first_delay=0.01)


def again(progress: Recorder, *, offline: bool = False) -> Fetched:
    return fetch(parse("org/name"), progress=progress, retry=QUICK, local_files_only=offline)


@pytest.fixture
def fetched(hub: HubServer, files: Files) -> Fetched:
    hub.add_repo("org/name", files)
    return again(Recorder())


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "hf/edgeconv/models--org--name"


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a": 1}'])
def test_damaged_stamps_mean_hashing_again(fetched: Fetched, records: Path, progress: Recorder, junk: bytes) -> None:
    whole = json.loads((records / "verified.json").read_text())
    (records / "verified.json").write_bytes(junk)
    assert again(progress, offline=True) == fetched
    assert json.loads((records / "verified.json").read_text()).items() >= whole.items()


def test_stamps_hold_for_one_content_at_one_time(fetched: Fetched, files: Files) -> None:
    store = Store("org/name", Silent())
    assert fetched.commit is not None
    (config,) = (file for file in fetched.files if file.path == "config.json")
    path = (fetched.path / "config.json").resolve()
    assert store.state(config, fetched.commit) == "sound"
    path.write_bytes(files["config.json"].replace(b"glm", b"GLM"))
    assert store.state(config, fetched.commit) == "damaged"
    path.write_bytes(files["config.json"])
    assert store.state(config, fetched.commit) == "sound"


@pytest.mark.parametrize(
    "record",
    [b"{", b"7", b'[{"type": "file"}]',
     json.dumps([{"type": "file", "path": "../x", "size": 0, "oid": "0" * 40}]).encode()],
)  # fmt: skip
def test_a_record_that_was_tampered_with(fetched: Fetched, records: Path, progress: Recorder, record: bytes) -> None:
    (records / f"{fetched.commit}.json").write_bytes(record)
    with pytest.raises(HubUnreachableError, match="not fetched whole"):
        again(progress, offline=True)
    assert "Ignored the record" in progress.text
    assert again(progress) == fetched
    assert again(progress, offline=True) == fetched


@pytest.mark.parametrize("ref", [b"\xff", b"../../../etc", b"", b"main"])
def test_a_damaged_ref(fetched: Fetched, progress: Recorder, ref: bytes) -> None:
    (fetched.path.parent.parent / "refs/main").write_bytes(ref)
    with pytest.raises(HubUnreachableError, match="not fetched whole"):
        again(progress, offline=True)
    assert again(progress) == fetched
    assert again(progress, offline=True) == fetched


def test_records_that_cannot_be_written(hub: HubServer, files: Files, tmp_path: Path, progress: Recorder) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/edgeconv").write_bytes(b"in the way")
    hub.add_repo("org/name", files)
    assert (again(progress).path / "config.json").is_file()
    assert "Could not write" in progress.text


def test_large_files_are_hashed_with_progress(
    hub: HubServer, files: Files, progress: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeconv.hub.store._SLOW_BYTES", 1000)
    hub.add_repo("org/name", files)
    again(progress)
    checks = [task for task in progress.tasks if task.description.startswith("Checking ")]
    assert {task.description for task in checks} == {f"Checking model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    assert all(task.finished and sum(task.steps) == task.total for task in checks)


def test_removal_stays_in_the_repository(hub: HubServer, tmp_path: Path) -> None:
    store = Store("org/name", Silent())
    outside = tmp_path / "of another person"
    outside.write_bytes(b"1")
    folder = store.snapshot("0" * 40)
    folder.mkdir(parents=True)
    (folder / "config.json").symlink_to(outside)
    file = RemoteFile("config.json", 1, git_sha1(b"2"))
    assert store.state(file, "0" * 40) == "damaged"
    store.remove(file, "0" * 40)
    assert store.state(file, "0" * 40) == "absent"
    assert outside.read_bytes() == b"1"


def test_sweep_leaves_running_downloads_alone(hub: HubServer, tmp_path: Path, progress: Recorder) -> None:
    store = Store("org/name", progress)
    file = RemoteFile("config.json", 1, git_sha1(b"2"))
    blobs, locks = store.root / "blobs", tmp_path / "hf/hub/.locks/models--org--name"
    blobs.mkdir(parents=True)
    locks.mkdir(parents=True)
    mine, other = blobs / f"{file.digest}.0123abcd.incomplete", blobs / f"{git_sha1(b'3')}.0123abcd.incomplete"
    mine.write_bytes(b"half")
    other.write_bytes(b"half")
    with filelock.FileLock(locks / f"{file.digest}.lock"):
        store.sweep(file)
        assert mine.exists()
    assert "Another process" in progress.text
    store.sweep(file)
    assert not mine.exists()
    assert other.exists()

"""Interruption, full disks, and the environment of a process."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core.errors import (
    OutputError,
)
from edgeconv.hub import fetch as fetching
from edgeconv.hub.fetch import Fetched
from edgeconv.hub.source import parse

from .conftest import (
    QUICK,
    SHARD,
    Recorder,
    blobs,
    content,
    needed,
    reload_constants,
)
from .server import Files, HubServer, Repo

_SCRIPT = """
import sys
from edgeconv.core.progress import Silent
from edgeconv.hub.fetch import fetch
from edgeconv.hub.source import parse
print(fetch(parse(sys.argv[1]), progress=Silent()).path)
"""


@pytest.mark.fault("hub: Ctrl-C during a download", says="No half file stays; the next run goes on.")
def test_interruption_leaves_no_half_file(
    hub: HubServer, repo: Repo, files: Files, progress: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Recorder):
        def task(self, description: str, total: int | None = None) -> Any:
            task = super().task(description, total)
            monkeypatch.setattr(task, "advance", self.advance)
            return task

        def advance(self, amount: int) -> None:
            if amount > 10_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(parse("org/name"), progress=Interrupted(), retry=QUICK)
    assert not list((tmp_path / "hf").rglob("*incomplete"))
    assert not list((tmp_path / "hf").rglob(SHARD))
    assert content(fetching.fetch(parse("org/name"), progress=progress, retry=QUICK).path) == needed(files)


@pytest.mark.fault("hub: kill -9 during a download", says="The next run sweeps the orphan and fetches the file.")
def test_killed_process_leaves_nothing_for_ever(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT, "org/name"])
    hub.on_request(f"/storage/.*{SHARD}", process.kill)
    assert process.wait(60) == -signal.SIGKILL
    orphans = list(blobs(tmp_path).glob("*.incomplete"))
    assert len(orphans) == 1
    assert content(fetch().path) == needed(files)
    assert not orphans[0].exists()


def test_another_process_environment(hub: HubServer, repo: Repo, tmp_path: Path) -> None:
    """The settings reach huggingface_hub by way of the environment alone."""
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT, "org/name@main"], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.split() == [str(tmp_path / "hf/hub/models--org--name/snapshots" / repo.refs["main"])]
    assert run.stderr == ""


def test_importing_is_cheap() -> None:
    code = (
        "import sys, edgeconv.hub.fetch; print([m for m in ('huggingface_hub', 'httpx', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.fault("hub: too little room in HF_HOME", says="Refused before the download, with the numbers.")
def test_too_little_space(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeconv.hub.fetch.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="GB free") as caught:
        fetch()
    assert "HF_HOME" in (caught.value.hint or "")
    assert not hub.asked("/resolve/", "HEAD")


@pytest.mark.fault("hub: the disk of HF_HOME fills up", says="An error that names the cache.")
def test_disk_that_fills_up(repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download._chmod_and_move", full)
    with pytest.raises(OutputError, match="the disk is full"):
        fetch()


@pytest.mark.fault("hub: HF_HOME is not a folder", says="An error that names the cache.")
def test_home_that_is_no_folder(
    repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "hf"))
    reload_constants()
    with pytest.raises(OutputError, match="not a folder"):
        fetch()

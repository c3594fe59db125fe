"""What the cache is worth without the Hub."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.errors import (
    ExitCode,
    HubUnreachableError,
)
from edgeconv.hub.fetch import Fetched

from .conftest import SHARD, Recorder, content, damage, needed, reload_constants
from .server import Files, HubServer, Repo


@pytest.mark.fault("hub: not in reach, nothing cached", says="An error, exit code 5.")
def test_hub_down_and_nothing_cached(hub: HubServer, fetch: Callable[..., Fetched]) -> None:
    hub.stop()
    with pytest.raises(HubUnreachableError, match="cannot be reached") as caught:
        fetch()
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert "HF_ENDPOINT" in (caught.value.hint or "")


@pytest.mark.fault("hub: not in reach, everything cached", says="Converted from the cache, which is said.")
def test_hub_down_and_whole_cache(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], progress: Recorder
) -> None:
    online = fetch()
    hub.stop()
    assert fetch() == online
    assert f"fetched last: commit {online.commit}" in progress.notes[0]
    assert fetch(local_files_only=True) == online


@pytest.mark.parametrize("status", [500, 503])
def test_hub_in_trouble_and_whole_cache(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], progress: Recorder, status: int
) -> None:
    online = fetch()
    hub.fail("GET", "/revision/", status=status)
    assert fetch() == online
    assert len(progress.notes) == 1


def test_offline_makes_no_request(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    online = fetch()
    hub.requests.clear()
    assert fetch(local_files_only=True) == online
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    reload_constants()
    assert fetch() == online
    assert hub.requests == []


@pytest.mark.parametrize("variable", [True, False])
def test_offline_and_nothing_cached(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    if variable:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        reload_constants()
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE is set" if variable else "this run is offline"):
        fetch(local_files_only=not variable)
    assert hub.requests == []


@pytest.mark.fault(
    "hub: answers 500, and a partial snapshot is cached", says="Refused; what was fetched is kept for the next run."
)
def test_a_partial_cache_is_never_an_answer(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched]
) -> None:
    """Where huggingface_hub itself returns the folder of a download that never ended."""
    from huggingface_hub import snapshot_download

    hub.fail("GET", f"/storage/.*{SHARD}", status=503)
    with pytest.raises(HubUnreachableError):
        fetch()
    hub.fail("GET", "/revision/", status=500)
    partial = Path(snapshot_download("org/name", revision=repo.refs["main"]))
    assert partial.is_dir()
    assert not (partial / SHARD).exists()
    with pytest.raises(HubUnreachableError):
        fetch()
    for model in ("org/name", f"org/name@{repo.refs['main']}"):
        with pytest.raises(HubUnreachableError, match="not fetched whole"):
            fetch(model, local_files_only=True)
    hub.faults.clear()
    hub.requests.clear()
    assert content(fetch().path) == needed(files)
    assert not hub.asked("model-00001")  # finished files are kept


@pytest.mark.fault(
    "hub: offline, and another tool filled the cache", says="Refused: nobody can tell whether it is whole."
)
def test_the_cache_of_another_tool_is_not_trusted_offline(repo: Repo, fetch: Callable[..., Fetched]) -> None:
    from huggingface_hub import snapshot_download

    folder = snapshot_download("org/name", allow_patterns=["*.json"])
    with pytest.raises(HubUnreachableError, match="not fetched whole") as caught:
        fetch(local_files_only=True)
    assert folder in (caught.value.hint or "")


@pytest.mark.parametrize("harm", ["removed", "damaged", "truncated", "replaced by a folder"])
@pytest.mark.fault("hub: offline, and a cached file is gone or damaged", says="Refused; the file is named.")
def test_a_cache_that_was_whole_once(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], harm: str
) -> None:
    pointer = fetch().path / SHARD
    if harm == "removed":
        pointer.unlink()
    elif harm == "damaged":
        damage(pointer.resolve())
    elif harm == "truncated":
        pointer.resolve().write_bytes(files[SHARD][:-1])
    else:
        pointer.unlink()
        pointer.mkdir()
    for offline in (True, False):
        if not offline:
            hub.stop()
        with pytest.raises(HubUnreachableError, match=SHARD):
            fetch(local_files_only=offline)

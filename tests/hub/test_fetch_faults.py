"""Transfers that go wrong, one thing at a time."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core import limits
from edgeconv.core.errors import (
    CheckpointError,
    ExitCode,
    HubUnreachableError,
)
from edgeconv.hub import download
from edgeconv.hub.fetch import Fetched

from .conftest import QUICK, SHARD, Recorder, blobs, content, damage, needed, reload_constants
from .server import Files, HubServer, Repo, digest_of, tree_entry


@pytest.mark.fault("hub: one bit flipped in transfer", says="Fetched once more; the hash decides.")
def test_flipped_bit_is_healed(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder
) -> None:
    hub.flip(SHARD, times=1)
    assert content(fetch().path) == needed(files)
    assert len(hub.asked(f"/storage/.*{SHARD}")) == 2
    assert sum(progress.tasks[0].steps) == progress.tasks[0].total
    assert min(progress.tasks[0].steps) > 0


@pytest.mark.parametrize("name", [SHARD, "config.json"])
@pytest.mark.fault(
    "hub: one bit flipped in every transfer", says="Refused after two; nothing of it stays in the cache."
)
def test_flipped_bit_every_time(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], tmp_path: Path, name: str
) -> None:
    hub.flip(f"/{name}$")
    with pytest.raises(HubUnreachableError, match=name) as caught:
        fetch()
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert len(hub.asked(f"/(storage|resolve)/.*/{name}$")) == 2
    assert not list((tmp_path / "hf").rglob(name))
    assert not (
        blobs(tmp_path) / digest_of(name, repo.commits[repo.refs["main"]][name])
    ).exists()  # nor under another name


@pytest.mark.fault("hub: a file in the cache was damaged", says="Noticed and fetched again.")
def test_damage_in_the_cache_is_healed(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder
) -> None:
    shard = (fetch().path / SHARD).resolve()
    damage(shard)
    assert content(fetch().path) == needed(files)
    assert progress.notes == [f"The cached {SHARD} is damaged and is fetched anew."]


def test_only_what_lacks_is_fetched_again(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched]
) -> None:
    got = fetch()
    (got.path / "config.json").unlink()
    (blobs_file := (got.path / "tokenizer.json").resolve()).unlink()
    hub.requests.clear()
    assert content(fetch(f"org/name@{got.commit}").path) == needed(files)
    assert {request.path.rpartition("/")[2] for request in hub.requests} == {"config.json", "tokenizer.json"}
    assert blobs_file.is_file()


def test_a_cache_without_links(
    repo: Repo, files: Files, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_SYMLINKS", "1")
    reload_constants()
    folder = fetch().path
    assert not (folder / SHARD).is_symlink()
    damage(folder / SHARD)
    assert content(fetch().path) == needed(files)


@pytest.mark.fault("hub: the connection breaks in the middle of a file", says="Resumed where it broke.")
def test_connection_cut_in_the_middle_is_resumed(
    hub: HubServer,
    repo: Repo,
    files: Files,
    fetch: Callable[..., Fetched],
    progress: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)  # what is in hand when it breaks is lost
    hub.cut(SHARD, after=10_000, times=2)
    assert content(fetch().path) == needed(files)
    ranges = [request.headers.get("range") for request in hub.asked(f"/storage/.*{SHARD}")]
    assert ranges == [None, "bytes=10000-", "bytes=20000-"]
    assert sum(progress.tasks[0].steps) == progress.tasks[0].total


@pytest.mark.fault("hub: the connection breaks every time", says="An error; no half file stays.")
def test_connection_cut_for_ever(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], tmp_path: Path) -> None:
    hub.cut(SHARD, after=0)
    with pytest.raises(HubUnreachableError, match="breaks the connection"):
        fetch()
    assert not list((tmp_path / "hf").rglob("*incomplete"))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.fault("hub: a storm of 429, 500, 502, 503, 504", says="Repeated with growing delays, files too.")
def test_storm_that_passes(
    hub: HubServer,
    repo: Repo,
    files: Files,
    fetch: Callable[..., Fetched],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    for pattern in ("/revision/", "/tree/", "/storage/", "config.json"):
        hub.fail("GET", pattern, status=status, times=2)
    assert content(fetch().path) == needed(files)


@pytest.mark.parametrize("pattern", ["/revision/", "/tree/", "/storage/", "/tokenizer.json"])
@pytest.mark.fault("hub: 503 without end", says="An error after the last attempt; finished files are kept.")
def test_storm_that_does_not_pass(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], pattern: str) -> None:
    hub.fail("GET", pattern, status=503)
    with pytest.raises(HubUnreachableError, match="503") as caught:
        fetch()
    assert len(hub.asked(pattern)) == QUICK.attempts
    assert "finished files are kept" in (caught.value.hint or "")


def test_head_fails(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    hub.fail("HEAD", SHARD, status=500)
    with pytest.raises(HubUnreachableError, match="500"):
        fetch()
    assert len(hub.asked(SHARD, "HEAD")) < 10  # huggingface_hub repeats it; we do not repeat that


@pytest.mark.fault("hub: an error page in the place of a file", says="Refused by its size.")
def test_an_error_page_in_the_place_of_a_file(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched]) -> None:
    hub.replace(SHARD, lambda _: b"<html>Sorry</html>")
    with pytest.raises(HubUnreachableError, match="fewer bytes"):
        fetch()


@pytest.mark.fault("hub: a listed file is not there", says="An error that says so.")
def test_a_listed_file_that_is_not_there(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched]) -> None:
    repo.listed_extra.append(tree_entry("tokenizer.model", b"absent"))
    with pytest.raises(HubUnreachableError, match="lists a file"):
        fetch()


@pytest.mark.fault("hub: another content than listed", says="Refused by its hash.")
def test_another_content_than_listed(hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched]) -> None:
    repo.unlisted.add("config.json")
    repo.listed_extra.append(tree_entry("config.json", files["config.json"].swapcase()))
    with pytest.raises(HubUnreachableError, match=r"config\.json: twice"):
        fetch()


@pytest.mark.parametrize("name", ["../../../../evil", "/tmp/evil-of-edgeconv", "a/../../../evil"])
@pytest.mark.fault("hub: ../ in the file list", says="Refused by name before anything is downloaded.")
def test_a_name_that_leaves_the_folder(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], tmp_path: Path, name: str
) -> None:
    repo.listed_extra.append(tree_entry(name, b"evil"))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        fetch()
    assert not hub.asked("/resolve/", "HEAD")
    assert not (tmp_path / "hf" / "hub").exists()


@pytest.mark.fault("hub: a foreign file in the snapshot that a loader would read", says="Refused by name.")
def test_a_foreign_file_in_the_snapshot(repo: Repo, fetch: Callable[..., Fetched]) -> None:
    folder = fetch().path
    (folder / ".DS_Store").write_bytes(b"harmless")
    fetch()
    (folder / "adapter_config.json").write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is in the cache, but not in org/name"):
        fetch()


@pytest.mark.fault("hub: ALL_PROXY is a SOCKS proxy", says="Named; exit 5, with what to install.")
def test_a_socks_proxy_without_its_package(
    hub: HubServer, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(HubUnreachableError, match="ALL_PROXY is a SOCKS proxy") as caught, fresh_session():
        monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
        fetch()
    assert "httpx[socks]" in str(caught.value.hint)


@pytest.mark.fault("hub: SSL_CERT_FILE names no file", says="Named; it is not the cache that is at fault.")
def test_certificates_that_are_not_there(
    hub: HubServer, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HubUnreachableError, match="SSL_CERT_FILE names /nowhere, which is not there"), fresh_session():
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        fetch()


@contextmanager
def fresh_session() -> Iterator[None]:
    """Have huggingface_hub make its client anew, by the environment as it is then, and again afterwards."""
    from huggingface_hub.utils import close_session

    close_session()
    try:
        yield
    finally:
        close_session()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SPEED_SECONDS", 0.5)
    monkeypatch.setattr(limits, "BYTES_A_SECOND", 10_000)


@pytest.mark.parametrize("name", [SHARD, "config.json"])
@pytest.mark.fault("hub: a file that comes byte by byte, without end", says="Given up with the least speed; exit 5.")
def test_a_file_that_drips(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], name: str, impatient: None, tmp_path: Path
) -> None:
    if name == "config.json":
        repo.push(repo.commits[repo.refs["main"]] | {name: b'{"model_type": "glm"}' + b" " * 20_000})
    hub.drip(f"/{name}$")
    started = time.monotonic()
    with pytest.raises(HubUnreachableError, match="sends less than 10,000 bytes of org/name a second") as caught:
        fetch()
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert time.monotonic() - started < 20
    assert len(hub.asked(f"/(storage|resolve)/.*/{name}$")) >= 6  # the first attempt, and five
    assert not list((tmp_path / "hf").rglob(name))


@pytest.mark.fault("hub: a transfer that becomes a drip", says="Broken off, and the next attempt goes on where it was.")
def test_a_transfer_that_drips_once_goes_on(
    hub: HubServer,
    repo: Repo,
    files: Files,
    fetch: Callable[..., Fetched],
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    hub.drip(f"/storage/.*{SHARD}$", after=8_000, times=1)
    assert content(fetch().path) == needed(files)
    ranges = [request.headers.get("range") for request in hub.asked(f"/storage/.*{SHARD}$")]
    assert ranges[0] is None
    assert ranges[1:] == ["bytes=8000-"]


def test_a_slow_reader_is_no_slow_server(
    hub: HubServer,
    repo: Repo,
    files: Files,
    fetch: Callable[..., Fetched],
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that takes long, or a process that was stopped between two pieces."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4000)
    write = download._meter

    def slow(task: Any, size: int) -> Any:
        meter = write(task, size)
        move = meter.move

        def later(amount: float) -> None:
            time.sleep(0.3)
            move(amount)

        meter.move = staticmethod(later)
        return meter

    monkeypatch.setattr(download, "_meter", slow)
    assert content(fetch().path) == needed(files)

"""The whole way: huggingface_hub against a real HTTP server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.errors import (
    CheckpointError,
)
from edgeconv.hub.fetch import Fetched

from .conftest import NEEDED, TOKEN, Recorder, content, needed
from .server import Files, HubServer, Repo, digest_of


def test_a_folder_is_itself(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    assert fetch(str(tmp_path)) == Fetched(tmp_path.resolve(), None, None)


def test_success(hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder) -> None:
    got = fetch()
    assert (got.repo_id, got.commit) == ("org/name", repo.refs["main"])
    assert content(got.path) == needed(files)
    assert {file.path: file.digest for file in got.files} == {path: digest_of(path, files[path]) for path in NEEDED}
    (task,) = progress.tasks
    assert task.total == sum(task.steps) == sum(map(len, needed(files).values()))
    assert task.finished
    assert progress.notes == []


def test_it_is_the_cache_that_other_tools_read(repo: Repo, fetch: Callable[..., Fetched]) -> None:
    from huggingface_hub import constants, scan_cache_dir, snapshot_download

    got = fetch()
    assert Path(snapshot_download("org/name", local_files_only=True)) == got.path
    scan = scan_cache_dir(constants.HF_HUB_CACHE)
    (cached,) = scan.repos
    assert {revision.commit_hash: set(revision.refs) for revision in cached.revisions} == {got.commit: {"main"}}
    assert scan.warnings == []


def test_code_is_fetched_only_if_allowed(repo: Repo, fetch: Callable[..., Fetched]) -> None:
    assert not (fetch().path / "modeling_glm.py").exists()
    assert (fetch(allow_remote_code=True).path / "modeling_glm.py").is_file()


def test_pinned_commit_branch_and_tag(repo: Repo, files: Files, fetch: Callable[..., Fetched]) -> None:
    old = repo.refs["main"]
    new = repo.push(files | {"config.json": b'{"model_type": "newer"}'})
    repo.refs["v1"] = old
    assert fetch(f"org/name@{old}").commit == old
    assert fetch("org/name@v1").commit == old
    assert fetch("org/name").commit == fetch("org/name@main").commit == new
    assert (fetch("org/name@v1").path / "config.json").read_bytes() == files["config.json"]


def test_second_run_downloads_and_hashes_nothing(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch, progress: Recorder
) -> None:
    first = fetch()
    hub.requests.clear()
    for name in ("sha256_file", "_git_blob_sha1"):
        monkeypatch.setattr(f"edgeconv.hub.store.{name}", lambda *_: pytest.fail("a verified file was hashed again"))
    assert fetch() == first
    assert len(hub.requests) == 2  # what does the branch mean, and what does it hold
    assert len(progress.tasks) == 1
    hub.requests.clear()
    assert fetch(f"org/name@{first.commit}") == first
    assert hub.requests == []  # a commit cannot change


def test_a_new_commit_downloads_what_changed(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched]
) -> None:
    fetch()
    repo.push(files | {"config.json": b'{"model_type": "newer"}'})
    hub.requests.clear()
    assert (fetch().path / "config.json").read_bytes() == b'{"model_type": "newer"}'
    assert not hub.asked("safetensors$")


@pytest.mark.fault(
    "hub: the revision moves during the download", says="All files are of the commit that was looked up first."
)
def test_revision_that_moves_during_the_download(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched]
) -> None:
    first = repo.refs["main"]
    changed = {path: b"changed " + data for path, data in files.items()}
    hub.on_request("resolve/.*/generation_config.json", lambda: repo.push(changed))
    got = fetch()
    assert repo.refs["main"] != first
    assert got.commit == first
    assert content(got.path) == needed(files)


@pytest.mark.fault("hub: the repository was renamed", says="Redirects are followed; its present name is recorded.")
def test_renamed_repository(hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder,
                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    repo.private = True
    hub.tokens.add(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.rename("org/name", "new-org/new-name")
    got = fetch()
    assert got.repo_id == "new-org/new-name"
    assert content(got.path) == needed(files)
    assert progress.notes == ["org/name is now called new-org/new-name."]


def test_names_that_look_like_patterns(hub: HubServer, files: Files, fetch: Callable[..., Fetched]) -> None:
    hub.add_repo("org/odd", files | {"LICENSE [a-z]*?#%2F.txt": b"odd", "tokenizer 模型.json": b"{}"})
    got = content(fetch("org/odd").path)
    assert got["LICENSE [a-z]*?#%2F.txt"] == b"odd"
    assert got["tokenizer 模型.json"] == b"{}"


def test_empty_file(hub: HubServer, files: Files, fetch: Callable[..., Fetched]) -> None:
    hub.add_repo("org/empty", files | {"merges.txt": b"", "vocab.model": b""})
    assert content(fetch("org/empty").path)["merges.txt"] == b""


@pytest.mark.parametrize(
    ("lacking", "said"), [("config.json", "no config"), ("safetensors", r"neither \*\.safetensors nor")]
)
def test_no_checkpoint(hub: HubServer, files: Files, fetch: Callable[..., Fetched], lacking: str, said: str) -> None:
    rest = {p: d for p, d in files.items() if not p.endswith((lacking, "pytorch_model.bin"))}
    hub.add_repo("org/other", rest)
    with pytest.raises(CheckpointError, match=said):
        fetch("org/other")
    assert not hub.asked("/resolve/", "HEAD")

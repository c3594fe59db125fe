"""The whole way: huggingface_hub against a real HTTP server, with one thing wrong at a time."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core.errors import (
    AccessError,
    CheckpointError,
    EdgeconvError,
    ExitCode,
    HubUnreachableError,
    OutputError,
)
from edgeconv.hub import fetch as fetching
from edgeconv.hub.client import Retry
from edgeconv.hub.fetch import Fetched, Metadata
from edgeconv.hub.source import parse

from .conftest import NEEDED, Recorder, reload_constants, safetensors
from .server import Files, HubServer, Repo, tree_entry

QUICK = Retry(attempts=3, first_delay=0.01, longest_delay=0.05)
SHARD = "model-00002-of-00002.safetensors"
TOKEN = "hf_SecretSecretSecretSecret"


@pytest.fixture
def repo(hub: HubServer, files: Files) -> Repo:
    return hub.add_repo("org/name", files)


@pytest.fixture
def fetch(progress: Recorder) -> Callable[..., Fetched]:
    def run(model: str = "org/name", **options: Any) -> Fetched:
        return fetching.fetch(parse(model), progress=progress, retry=QUICK, **options)

    return run


@pytest.fixture
def fetch_metadata(progress: Recorder) -> Callable[..., Metadata]:
    def run(model: str = "org/name", **options: Any) -> Metadata:
        return fetching.fetch_metadata(parse(model), progress=progress, retry=QUICK, **options)

    return run


def content(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def needed(files: Files) -> Files:
    return {path: files[path] for path in NEEDED}


# What is fetched


def test_a_folder_is_itself(tmp_path: Path, fetch: Callable[..., Fetched]) -> None:
    assert fetch(str(tmp_path)) == Fetched(tmp_path.resolve(), None, None)


def test_success(hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder) -> None:
    got = fetch()
    assert (got.repo_id, got.commit) == ("org/name", repo.refs["main"])
    assert content(got.path) == needed(files)
    assert {file.path: file.digest for file in got.files} == {path: digest(path, files[path]) for path in NEEDED}
    (task,) = progress.tasks
    assert task.total == sum(task.steps) == sum(map(len, needed(files).values()))
    assert task.finished
    assert progress.notes == []


def test_it_is_the_cache_that_other_tools_read(repo: Repo, fetch: Callable[..., Fetched]) -> None:
    from huggingface_hub import scan_cache_dir, snapshot_download

    got = fetch()
    assert Path(snapshot_download("org/name", local_files_only=True)) == got.path
    (cached,) = scan_cache_dir().repos
    assert {revision.commit_hash: set(revision.refs) for revision in cached.revisions} == {got.commit: {"main"}}
    assert scan_cache_dir().warnings == []


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


# Transfers that go wrong


def test_flipped_bit_is_healed(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder
) -> None:
    hub.flip(SHARD, times=1)
    assert content(fetch().path) == needed(files)
    assert len(hub.asked(f"/storage/.*{SHARD}")) == 2
    assert sum(progress.tasks[0].steps) == progress.tasks[0].total
    assert min(progress.tasks[0].steps) > 0


@pytest.mark.parametrize("name", [SHARD, "config.json"])
def test_flipped_bit_every_time(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], tmp_path: Path, name: str
) -> None:
    hub.flip(name)
    with pytest.raises(HubUnreachableError, match=name) as caught:
        fetch()
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert len(hub.asked(f"/(storage|resolve)/.*/{name}$")) == 2
    assert not list((tmp_path / "hf").rglob(name))
    assert not (
        blobs(tmp_path) / digest(name, repo.commits[repo.refs["main"]][name])
    ).exists()  # nor under another name


def test_damage_in_the_cache_is_healed(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder
) -> None:
    shard = (fetch().path / SHARD).resolve()
    damage(shard)
    assert content(fetch().path) == needed(files)
    assert progress.notes == [f"The cached {SHARD} is damaged and is fetched anew."]


def test_connection_cut_in_the_middle_is_resumed(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], progress: Recorder
) -> None:
    hub.cut(SHARD, after=10_000, times=2)
    assert content(fetch().path) == needed(files)
    ranges = [request.headers.get("range") for request in hub.asked(f"/storage/.*{SHARD}")]
    assert ranges == [None, "bytes=10000-", "bytes=20000-"]
    assert sum(progress.tasks[0].steps) == progress.tasks[0].total


def test_connection_cut_for_ever(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], tmp_path: Path) -> None:
    hub.cut(SHARD, after=0)
    with pytest.raises(HubUnreachableError, match="breaks the connection"):
        fetch()
    assert not list((tmp_path / "hf").rglob("*incomplete"))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
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


def test_an_error_page_in_the_place_of_a_file(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched]) -> None:
    hub.replace(SHARD, lambda _: b"<html>Sorry</html>")
    with pytest.raises(HubUnreachableError, match="fewer bytes"):
        fetch()


def test_a_listed_file_that_is_not_there(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched]) -> None:
    repo.listed_extra.append(tree_entry("tokenizer.model", b"absent"))
    with pytest.raises(HubUnreachableError, match="lists a file"):
        fetch()


def test_another_content_than_listed(hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched]) -> None:
    repo.unlisted.add("config.json")
    repo.listed_extra.append(tree_entry("config.json", files["config.json"].swapcase()))
    with pytest.raises(HubUnreachableError, match=r"config\.json: twice"):
        fetch()


@pytest.mark.parametrize("name", ["../../../../evil", "/tmp/evil-of-edgeconv", "a/../../../evil"])
def test_a_name_that_leaves_the_folder(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], tmp_path: Path, name: str
) -> None:
    repo.listed_extra.append(tree_entry(name, b"evil"))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        fetch()
    assert not hub.asked("/resolve/", "HEAD")
    assert not (tmp_path / "hf" / "hub").exists()


def test_a_foreign_file_in_the_snapshot(repo: Repo, fetch: Callable[..., Fetched]) -> None:
    folder = fetch().path
    (folder / ".DS_Store").write_bytes(b"harmless")
    fetch()
    (folder / "adapter_config.json").write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is in the cache, but not in org/name"):
        fetch()


# Who may read what


def test_absent_repository(hub: HubServer, fetch: Callable[..., Fetched]) -> None:
    with pytest.raises(AccessError, match="org/absent is not on the Hub, or is private") as caught:
        fetch("org/absent")
    assert caught.value.exit_code == ExitCode.ACCESS
    assert "hf auth login" in (caught.value.hint or "")
    assert "./org/absent" in (caught.value.hint or "")


@pytest.mark.parametrize("revision", ["v9", "0" * 40])
def test_absent_revision(repo: Repo, fetch: Callable[..., Fetched], revision: str) -> None:
    with pytest.raises(AccessError, match=f"no revision '{revision}'"):
        fetch(f"org/name@{revision}")


def test_gated_repository(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.gated = True
    with pytest.raises(AccessError, match="is gated") as caught:
        fetch()
    assert (
        caught.value.hint
        == f"Accept its licence at {hub.url}/org/name, then log in with `hf auth login` or set HF_TOKEN."
    )
    assert not hub.asked("/storage/")
    hub.tokens.add(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert content(fetch().path) == needed(files)


def test_gate_that_stays_closed(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.tokens.add(TOKEN)
    hub.fail("HEAD", "/resolve/", status=403, headers={"X-Error-Code": "GatedRepo"})
    with pytest.raises(AccessError, match="is gated") as caught:
        fetch()
    assert "use a token of that account" in (caught.value.hint or "")


@pytest.mark.parametrize("where", ["HF_TOKEN", "file"])
def test_private_repository(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, where: str,
) -> None:  # fmt: skip
    repo.private = True
    hub.tokens.add(TOKEN)
    with pytest.raises(AccessError, match="or is private"):
        fetch()
    if where == "file":
        (tmp_path / "hf" / "token").write_text(TOKEN)
    else:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert content(fetch().path) == needed(files)
    assert all(request.token == TOKEN for request in hub.asked("/api/models/org/name")[1:])
    assert hub.asked("/storage/")
    assert not any(request.token for request in hub.asked("/storage/"))  # another host


@pytest.mark.parametrize("token", [TOKEN, "hf_Sécrèt_Secret_Secret", "hf_Secret\x01Secret_Secret"])
def test_a_bad_token_is_refused_and_not_shown(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch, progress: Recorder,
    capfd: pytest.CaptureFixture[str], token: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(AccessError, match="token") as caught:
        fetch()
    assert "anew" in (caught.value.hint or "")
    shown = "".join([caught.value.message, caught.value.hint or "", progress.text, *capfd.readouterr()])
    assert "Secret" not in shown
    assert "crèt" not in shown
    if token != TOKEN:  # the library's own error quotes the header
        assert caught.value.__cause__ is None


def test_warnings_of_the_library_show_no_secrets(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], progress: Recorder, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.cut(SHARD, after=5, times=1)
    fetch()
    assert "Trying to resume" in progress.text
    assert "signature=secret" not in progress.text
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("status", [401, 403])
def test_forbidden(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], status: int) -> None:
    hub.fail("GET", "/revision/", status=status)
    with pytest.raises(AccessError, match="org/name"):
        fetch()


# Without the Hub


def test_hub_down_and_nothing_cached(hub: HubServer, fetch: Callable[..., Fetched]) -> None:
    hub.stop()
    with pytest.raises(HubUnreachableError, match="cannot be reached") as caught:
        fetch()
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert "HF_ENDPOINT" in (caught.value.hint or "")


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


def test_the_cache_of_another_tool_is_not_trusted_offline(repo: Repo, fetch: Callable[..., Fetched]) -> None:
    from huggingface_hub import snapshot_download

    folder = snapshot_download("org/name", allow_patterns=["*.json"])
    with pytest.raises(HubUnreachableError, match="not fetched whole") as caught:
        fetch(local_files_only=True)
    assert folder in (caught.value.hint or "")


@pytest.mark.parametrize("harm", ["removed", "damaged", "truncated", "replaced by a folder"])
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


# Interruption, disk, processes


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


def test_too_little_space(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeconv.hub.fetch.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="GB free") as caught:
        fetch()
    assert "HF_HOME" in (caught.value.hint or "")
    assert not hub.asked("/resolve/", "HEAD")


def test_disk_that_fills_up(repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download._chmod_and_move", full)
    with pytest.raises(OutputError, match="the disk is full"):
        fetch()


def test_home_that_is_no_folder(
    repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "hf"))
    reload_constants()
    with pytest.raises(OutputError, match="not a folder"):
        fetch()


# Plans without weights


def test_list_files(hub: HubServer, repo: Repo, files: Files, tmp_path: Path) -> None:
    listing = fetching.list_files(parse("org/name"), retry=QUICK)
    assert listing.commit == repo.refs["main"]
    assert {file.path: file.size for file in listing.files} == {path: len(data) for path, data in files.items()}
    assert not hub.asked("/resolve/")
    assert not (tmp_path / "hf" / "hub").exists()


def test_list_files_of_a_folder(tmp_path: Path, files: Files) -> None:
    write(tmp_path, files)
    listing = fetching.list_files(parse(str(tmp_path)))
    assert listing.commit is None
    assert {file.path for file in listing.needed()} == NEEDED


def test_metadata_without_the_weights(
    hub: HubServer, repo: Repo, files: Files, tmp_path: Path, fetch_metadata: Callable[..., Metadata]
) -> None:
    write(tmp_path / "local", files)
    local = fetch_metadata(str(tmp_path / "local"))
    remote = fetch_metadata()
    shards = {path for path in NEEDED if path.endswith(".safetensors")}
    assert set(remote.headers) == shards
    assert remote.headers == local.headers
    assert remote.headers[SHARD]["layer.2"]["shape"] == [2 * 256 * 64]
    assert set(content(remote.fetched.path)) == NEEDED - shards
    assert remote.fetched.commit == remote.listing.commit == repo.refs["main"]
    assert all(request.headers.get("range") for request in hub.asked("/storage/"))


def test_metadata_reads_few_bytes_of_large_files(
    hub: HubServer, files: Files, fetch_metadata: Callable[..., Metadata]
) -> None:
    big = safetensors({"w": bytes(3 << 20)} | {f"layer.{i}": b"x" for i in range(3000)})
    hub.add_repo("org/big", files | {"model.safetensors": big})
    assert len(fetch_metadata("org/big").headers["model.safetensors"]) == 3002
    ranges = [r.headers["range"] for r in hub.asked("/storage/.*/model.safetensors")]
    assert ranges == ["bytes=0-65535", f"bytes=65536-{7 + int.from_bytes(big[:8], 'little')}"]


def test_metadata_is_no_whole_fetch(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], fetch_metadata: Callable[..., Metadata]
) -> None:
    fetch_metadata()
    with pytest.raises(HubUnreachableError):
        fetch(local_files_only=True)
    whole = fetch()
    hub.stop()
    assert fetch_metadata(local_files_only=True).headers.keys() == {f.path for f in whole.files if "model-" in f.path}


@pytest.mark.parametrize("length", [1 << 63, 1 << 30, 20_000_000])
def test_metadata_of_a_lying_header(
    hub: HubServer, files: Files, fetch_metadata: Callable[..., Metadata], length: int
) -> None:
    lie = length.to_bytes(8, "little") + files[SHARD][8:]
    hub.add_repo("org/lie", files | {SHARD: lie})
    with pytest.raises(CheckpointError, match=rf"{SHARD} claims a header of {length} bytes"):
        fetch_metadata("org/lie")


def test_every_error_says_what_to_do(hub: HubServer, files: Files, fetch: Callable[..., Fetched]) -> None:
    hub.fail("GET", "/revision/", status=418)
    with pytest.raises(EdgeconvError, match="418") as caught:
        fetch()
    assert caught.value.hint


_SCRIPT = """
import sys
from edgeconv.core.progress import Silent
from edgeconv.hub.fetch import fetch
from edgeconv.hub.source import parse
print(fetch(parse(sys.argv[1]), progress=Silent()).path)
"""


def blobs(tmp_path: Path) -> Path:
    return tmp_path / "hf/hub/models--org--name/blobs"


def digest(name: str, data: bytes) -> str:
    entry = tree_entry(name, data)
    return str(entry.get("lfs", entry)["oid"])


def damage(path: Path) -> None:
    """Flip one bit and keep the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def write(folder: Path, files: Files) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

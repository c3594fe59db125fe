from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.errors import AccessError, HubUnreachableError
from edgeconv.hub.repository import Repository, look
from edgeconv.hub.sealed import SealedFile
from edgeconv.hub.upload import Change, Upload, Uploaded, plan, send

from .conftest import QUICK, TOKEN, Recorder
from .server import HubServer, Repo

REPO = "org/converted"
COMMIT = r"/commit/main"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "parity").mkdir(parents=True)
    (folder / "model.bin").write_bytes(bytes(range(256)) * 999)
    (folder / "edgeconv.json").write_text("{}\n")
    (folder / "parity/parity.html").write_text("<html></html>")
    return folder


@pytest.fixture
def put(hub: HubServer, artifact: Path, progress: Recorder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Uploaded]:
    hub.tokens.add(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(
        "huggingface_hub.utils._http.time", type("T", (), {"sleep": lambda _: None, "time": lambda: 0.0})
    )

    def run(**options: object) -> Uploaded:
        asked = upload(artifact, **options)
        return send(asked, compare(asked, progress), progress, QUICK)

    return run


def compare(asked: Upload, progress: Recorder) -> Change:
    return plan(asked, look(asked.repo_id, asked.branch, QUICK, progress))


def upload(folder: Path, **options: object) -> Upload:
    files = {p.relative_to(folder).as_posix(): SealedFile(p) for p in folder.rglob("*") if p.is_file()}
    return Upload(REPO, {**files, "README.md": b"# Card\n"}, **options)  # type: ignore[arg-type]


def held(hub: HubServer, branch: str = "main") -> dict[str, bytes]:
    repo = hub.repos[REPO]
    return {path: data for path, data in repo.commits[repo.refs[branch]].items() if path != ".gitattributes"}


def expected(folder: Path) -> dict[str, bytes]:
    return {p: c if isinstance(c, bytes) else c.path.read_bytes() for p, c in upload(folder).files.items()}


def test_a_new_repository_gets_everything_in_one_commit(
    put: Callable[..., Uploaded], hub: HubServer, artifact: Path
) -> None:
    made = put(private=True, message="int4")
    assert held(hub) == expected(artifact)
    assert hub.repos[REPO].private
    assert hub.commits == ["int4"]
    assert made.commit == hub.repos[REPO].refs["main"]
    assert made.url == f"{hub.url}/{REPO}/tree/{made.commit}"
    assert set(made.change.sent) == set(expected(artifact))


def test_nothing_changed_means_no_commit(put: Callable[..., Uploaded], hub: HubServer) -> None:
    first = put()
    again = put()
    assert (again.commit, again.change.empty, len(hub.commits)) == (None, True, 1)
    assert again.url == first.url
    assert len(hub.asked("/preupload/", "POST")) == 1


def test_only_what_differs_is_sent_and_what_is_obsolete_goes(
    put: Callable[..., Uploaded], hub: HubServer, artifact: Path
) -> None:
    put()
    (artifact / "parity/parity.html").write_text("<html>new</html>")
    (artifact / "edgeconv.json").unlink()
    made = put(obsolete=["edgeconv.json", "model.bin", "never-there.bin"])
    assert (made.change.sent, made.change.deleted) == (("parity/parity.html",), ("edgeconv.json",))
    assert held(hub) == expected(artifact)


def test_a_comparison_sends_nothing(
    put: Callable[..., Uploaded], hub: HubServer, artifact: Path, progress: Recorder
) -> None:
    change = compare(upload(artifact), progress)
    assert (change.parent, set(change.sent), hub.repos) == (None, set(expected(artifact)), {})
    assert change.bytes == sum(map(len, expected(artifact).values()))
    put()
    assert compare(upload(artifact), progress).empty
    next_one = compare(upload(artifact, branch="next"), progress)
    assert (next_one.empty, next_one.new_branch) == (True, True)


def test_another_branch(put: Callable[..., Uploaded], hub: HubServer, artifact: Path) -> None:
    put(branch="next")
    assert held(hub, "next") == expected(artifact)
    assert held(hub) == {}


def test_a_pull_request(put: Callable[..., Uploaded], hub: HubServer, artifact: Path) -> None:
    made = put(create_pr=True)
    assert made.url == f"{hub.url}/{REPO}/discussions/1"
    assert (held(hub), held(hub, "refs/pr/1")) == ({}, expected(artifact))


@pytest.mark.parametrize("fault", ["lost reply", "503 before", "503 twice"])
@pytest.mark.fault(
    "hub: the reply to a commit is lost, or it answers 503",
    says="The branch is read again: exactly one commit is made.",
)
def test_a_commit_whose_reply_is_lost_is_made_once(
    fault: str, put: Callable[..., Uploaded], hub: HubServer, artifact: Path
) -> None:
    if fault == "lost reply":
        hub.lose_reply("POST", COMMIT, times=1)
    else:
        hub.fail("POST", COMMIT, status=503, times=2 if "twice" in fault else 1)
    made = put()
    assert held(hub) == expected(artifact)
    assert (len(hub.commits), made.change.empty) == (1, False)
    assert made.url.endswith(hub.repos[REPO].refs["main"])


@pytest.mark.fault("hub: the reply to a pull request is lost", says="Not repeated; the user is told where to look.")
def test_a_lost_reply_to_a_pull_request_is_not_repeated(put: Callable[..., Uploaded], hub: HubServer) -> None:
    hub.lose_reply("POST", COMMIT, times=1)
    with pytest.raises(HubUnreachableError, match="may exist or not") as caught:
        put(create_pr=True)
    assert "/discussions" in str(caught.value.hint)
    assert len(hub.commits) == 1


@pytest.mark.fault("hub: the parent commit moved", says="Refused; the other's push stays.")
def test_another_push_between_is_never_overwritten(put: Callable[..., Uploaded], hub: HubServer) -> None:
    put()
    repo: Repo = hub.repos[REPO]
    theirs = {"README.md": b"theirs"}
    hub.faults.clear()

    def push() -> None:
        repo.push(theirs)

    repo.push({"README.md": b"old"})
    _before(hub, r"/preupload/", push)
    with pytest.raises(AccessError, match="Somebody else changed org/converted"):
        put()
    assert held(hub) == theirs


@pytest.mark.fault("hub: the parent commit moved after a lost reply", says="Refused; the other's push stays.")
def test_another_push_after_a_lost_reply(put: Callable[..., Uploaded], hub: HubServer) -> None:
    put()
    repo: Repo = hub.repos[REPO]
    repo.push({"README.md": b"old"})
    hub.fail("POST", COMMIT, status=503, times=1)
    _before(hub, COMMIT, lambda: repo.push({"README.md": b"theirs"}))
    with pytest.raises(AccessError, match="Somebody else"):
        put()
    assert held(hub) == {"README.md": b"theirs"}


def _before(hub: HubServer, pattern: str, action: Callable[[], object]) -> None:
    hub.on_request(pattern, action)
    hub.faults[-1].method = "POST"


@pytest.mark.parametrize("token", [None, "hf_Wrong"])
@pytest.mark.fault("hub: a token that may not write")
def test_a_token_that_may_not_write(
    token: str | None, hub: HubServer, artifact: Path, progress: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(AccessError, match="does not let you write to org/converted") as caught:
        asked = upload(artifact)
        send(asked, plan(asked, Repository(REPO, exists=False)), progress, QUICK)
    assert token is None or token not in str(caught.value.message) + str(caught.value.hint)


def test_an_unreachable_hub(put: Callable[..., Uploaded], hub: HubServer) -> None:
    hub.stop()
    with pytest.raises(HubUnreachableError):
        put()


@pytest.mark.fault(
    "hub: every commit answers 503", says="An error; what was uploaded is not sent again by the next run."
)
def test_large_files_are_not_sent_twice(put: Callable[..., Uploaded], hub: HubServer, artifact: Path) -> None:
    hub.fail("POST", COMMIT, status=503)
    with pytest.raises(HubUnreachableError, match="503"):
        put()
    assert (hub.commits, held(hub)) == ([], {})
    hub.faults.clear()
    put()
    assert held(hub) == expected(artifact)
    assert len(hub.asked("/lfs/", "PUT")) == 1

import json
from pathlib import Path

import pytest

from edgeconv.core.errors import ArtifactError, ParityError, UsageError
from edgeconv.publish.diff import compare, load
from edgeconv.publish.publish import Publication, plan, publish
from edgeconv.publish.verify import verify

from ..core import artifacts
from ..hub.conftest import QUICK, TOKEN, Recorder
from ..hub.server import HubServer
from .conftest import REPO, Make, held


def test_files_manifest_report_and_card_go_in_one_commit(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    folder = artifact()
    done = publish(Publication(folder, REPO), progress, QUICK)
    files = held(writable)
    assert set(files) == {
        *artifacts.FILES, "edgeconv.json", "edgeconv.published.json", "README.md",
        "parity/parity.json", "parity/parity.md", "parity/parity.html",
    }  # fmt: skip
    assert all(files[name] == content for name, content in artifacts.FILES.items())
    assert writable.commits == ["openvino int4 of org/name@0123456789ab"]
    assert done.url.endswith(str(done.commit))
    assert publish(Publication(folder, REPO), progress, QUICK).commit is None
    assert len(writable.commits) == 1


@pytest.mark.parametrize(
    ("verdict", "reason"), [(None, "there is no parity report"), ("failed", "failed"), ("crashed", "failed")]
)
@pytest.mark.fault("publish: no report, or one that failed", says="Refused, exit code 3; nothing is sent.")
def test_what_is_not_shown_is_not_published(
    verdict: str | None, reason: str, writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    folder = artifact(verdict)
    with pytest.raises(ParityError, match=reason) as caught:
        publish(Publication(folder, REPO), progress, QUICK)
    assert caught.value.exit_code == 3
    assert writable.requests == []
    publish(Publication(folder, REPO, allow_unvalidated=True), progress, QUICK)
    files = held(writable)
    assert b"Nobody has shown that this is still the same model" in files["README.md"]
    assert not any(name.startswith("parity/") for name in files)


@pytest.mark.fault("publish: the report is about other files", says="Refused, exit code 3.")
def test_a_report_on_other_files_does_not_count(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    folder = artifact()
    (folder / "config.json").write_bytes(b'{"model_type": "glm", "a": 1}\n')
    changed = json.loads((folder / "edgeconv.json").read_text())
    changed["outputs"]["config.json"] = artifacts.digest(folder / "config.json").model_dump()
    (folder / "edgeconv.json").write_text(json.dumps(changed))
    with pytest.raises(ParityError, match="about other files"):
        publish(Publication(folder, REPO), progress, QUICK)


@pytest.mark.fault("publish: a file is not what the manifest says", says="Refused, even with --allow-unvalidated.")
def test_a_damaged_artifact_is_never_published(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    folder = artifact()
    (folder / "openvino_model.bin").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"openvino_model\.bin"):
        publish(Publication(folder, REPO, allow_unvalidated=True), progress, QUICK)
    assert writable.requests == []


def test_a_plan_sends_nothing(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    planned = plan(Publication(artifact(), REPO), progress, QUICK)
    assert "openvino_model.bin" in planned.change.sent
    assert writable.repos == {}


@pytest.mark.parametrize(
    "wrong", [{"repo_id": "name"}, {"repo_id": "a/b/c"}, {"branch": "a b"}, {"branch": "x", "create_pr": True}]
)
def test_usage(wrong: dict[str, object], artifact: Make, progress: Recorder) -> None:
    with pytest.raises(UsageError):
        publish(Publication(**{"folder": artifact(), "repo_id": REPO, **wrong}), progress, QUICK)  # type: ignore[arg-type]


@pytest.mark.fault("publish: the token, on the card or in a message", says="On nothing that is sent or said.")
def test_the_token_is_on_nothing_that_is_published(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    publish(Publication(artifact(), REPO), progress, QUICK)
    assert not any(TOKEN.encode() in data for data in held(writable).values())
    assert TOKEN not in progress.text


def test_verify_here_and_on_the_hub(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    folder = artifact()
    publish(Publication(folder, REPO), progress, QUICK)
    assert verify(str(folder), None, progress).whole
    there = verify(REPO, None, progress, QUICK)
    assert (there.whole, there.commit) == (True, writable.repos[REPO].refs["main"])
    repo = writable.repos[REPO]
    files = repo.commits[repo.refs["main"]]
    repo.push({name: data for name, data in files.items() if name != "config.json"} | {"openvino_model.bin": b"no"})
    found = verify(REPO, None, progress, QUICK)
    assert (found.damaged, found.missing, found.whole) == (("openvino_model.bin",), ("config.json",), False)
    (folder / "sub/notes.txt").write_bytes(b"y")
    assert verify(str(folder), None, progress).damaged == ("sub/notes.txt",)
    writable.add_repo("org/other", {"config.json": b"{}"})
    with pytest.raises(ArtifactError, match=r"no edgeconv\.json"):
        verify("org/other", None, progress, QUICK)


def test_diff_of_a_folder_and_what_is_published(
    writable: HubServer, artifact: Make, progress: Recorder, tmp_path: Path
) -> None:
    folder = artifact()
    publish(Publication(folder, REPO), progress, QUICK)
    same = compare(load(str(folder), progress), load(REPO, progress, QUICK))
    assert (same.same, same.tensors) == (True, ())
    assert {label: a for label, a, _ in same.rows}["verdict"] == "passed"
    other = artifact(None, "other")
    manifest = json.loads((other / "edgeconv.json").read_text())
    manifest["scheme"]["group_size"] = 128
    manifest["tensors"][1]["group_size"] = 128
    manifest["outputs"]["config.json"]["sha256"] = "1" * 64
    (other / "edgeconv.json").write_text(json.dumps(manifest))
    found = compare(load(str(folder), progress), load(str(other), progress))
    assert found.files == ("config.json",)
    assert found.tensors == (("q", "int4_asym group 32", "int4_asym group 128"),)
    rows = {label: (a, b) for label, a, b in found.rows}
    assert rows["scheme: group_size"] == (32, 128)
    assert rows["verdict"] == ("passed", None)
    assert rows["parity: mean_kl"][1] is None


def test_a_published_report_of_another_version_is_an_error_not_a_fault(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    publish(Publication(artifact(), REPO), progress, QUICK)
    repo = writable.repos[REPO]
    repo.push(repo.commits[repo.refs["main"]] | {"parity/parity.json": b'{"report": 2}'})
    with pytest.raises(ArtifactError, match="parity report of org/converted cannot be read"):
        load(REPO, progress, QUICK)

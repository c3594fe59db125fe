"""Whose files a publication replaces and deletes, who may see them, and what is asked of the Hub before anything is done."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeconv.core.errors import AccessError, ArtifactError, EdgeconvError, HubUnreachableError, UsageError
from edgeconv.core.manifest import FileDigest, Manifest
from edgeconv.publish.publish import Publication, plan, publish
from edgeconv.validate.formats.manifest import digest_of
from edgeconv.validate.report import html, markdown
from edgeconv.validate.report.write import read, write

from ..core import artifacts
from ..hub.conftest import QUICK, Recorder
from ..hub.server import HubServer
from ..validate import report_samples
from .conftest import REPO, Make, held

OURS = (
    "edgeconv.json",
    "edgeconv.published.json",
    "README.md",
    "parity/parity.json",
    "config.json",
    "openvino_model.bin",
)
_repository = count()


def remade(folder: Path, **change: Any) -> Manifest:
    """Let the manifest say something else, with a report that knows it."""
    manifest = Manifest.model_validate_json((folder / "edgeconv.json").read_bytes()).model_copy(update=change)
    manifest.write(folder)
    report = report_samples.report("passed", tokens=20)
    subject = report.artifact.model_copy(update={"digest": digest_of(manifest)})
    write(report.model_copy(update={"artifact": subject}), folder / "parity")
    return manifest


def without(folder: Path, name: str) -> None:
    """Make the artifact anew without one of its files."""
    outputs = Manifest.model_validate_json((folder / "edgeconv.json").read_bytes()).outputs
    remade(folder, outputs={key: value for key, value in outputs.items() if key != name})


def test_a_dry_run_shows_exactly_what_a_run_does(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    folder = artifact()
    first = plan(Publication(folder, REPO), progress, QUICK).change
    assert (first.new_repository, first.replaced, first.deleted) == (True, (), ())
    done = publish(Publication(folder, REPO), progress, QUICK).change
    assert (done.added, done.replaced, done.deleted) == (first.added, first.replaced, first.deleted)
    without(folder, "sub/notes.txt")
    repo = writable.repos[REPO]
    repo.push(repo.commits[repo.refs["main"]] | {"notes.md": b"theirs"})
    before = held(writable)
    planned = plan(Publication(folder, REPO), progress, QUICK).change
    assert planned.deleted == ("sub/notes.txt",)
    assert held(writable) == before
    assert publish(Publication(folder, REPO), progress, QUICK).change == planned
    after = held(writable)
    assert set(before) - set(after) == {"sub/notes.txt"}
    assert {name for name in after if after[name] != before[name]} == set(planned.replaced)
    assert after["notes.md"] == b"theirs"


FOREIGN = st.dictionaries(
    st.sampled_from([*OURS, "LICENSE", ".gitattributes", "other/model.safetensors", "sub/notes.txt", "notes.md"]),
    st.sampled_from([b"theirs", b"{}", b"---\nlicense: mit\n---\n", b'{"published": 1}']),
    min_size=1,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(foreign=FOREIGN)
@pytest.mark.fault(
    "publish: the repository holds another model", says="Refused for each file that would be overwritten."
)
def test_every_foreign_file_survives_every_publication(
    foreign: dict[str, bytes], writable: HubServer, artifact: Make, progress: Recorder, tmp_path: Path
) -> None:
    repo = f"org/foreign-{next(_repository)}"
    folder = tmp_path / "artifact"
    if not folder.exists():
        artifact()
    writable.add_repo(repo, foreign)
    taken = set(foreign) & {*OURS, "sub/notes.txt"}
    try:
        publish(Publication(folder, repo), progress, QUICK)
    except AccessError as error:
        assert taken
        assert all(name in error.message for name in taken)
    else:
        assert not taken
    now = writable.repos[repo]
    files = now.commits[now.refs["main"]]
    assert {name: files[name] for name in foreign} == foreign


def test_what_replace_names_is_overwritten_and_nothing_else(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    writable.add_repo(REPO, {"README.md": b"theirs", "config.json": b"{}", "LICENSE": b"MIT"})
    with pytest.raises(AccessError, match=r"config\.json") as caught:
        publish(Publication(artifact(), REPO, replace=("README.md",)), progress, QUICK)
    assert "--replace config.json" in str(caught.value.hint)
    assert "README.md" not in caught.value.message
    done = publish(Publication(artifact(), REPO, replace=("README.md", "config.json")), progress, QUICK)
    assert set(done.change.replaced) == {"README.md", "config.json"}
    assert held(writable)["LICENSE"] == b"MIT"


@pytest.mark.parametrize("name", ["README.md", "config.json", "parity/parity.html"])
@pytest.mark.fault("publish: somebody edited a published file", says="Refused, unless --replace names it.")
def test_what_was_edited_there_since_is_not_overwritten(
    name: str, writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    folder = artifact()
    publish(Publication(folder, REPO), progress, QUICK)
    repo = writable.repos[REPO]
    repo.push(repo.commits[repo.refs["main"]] | {name: b"edited"})
    with pytest.raises(AccessError, match=name):
        publish(Publication(folder, REPO), progress, QUICK)
    assert held(writable)[name] == b"edited"
    publish(Publication(folder, REPO, replace=(name,)), progress, QUICK)
    assert held(writable)[name] != b"edited"


def test_what_was_edited_there_since_is_not_deleted(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    folder = artifact()
    publish(Publication(folder, REPO), progress, QUICK)
    repo = writable.repos[REPO]
    repo.push(repo.commits[repo.refs["main"]] | {"sub/notes.txt": b"edited"})
    without(folder, "sub/notes.txt")
    publish(Publication(folder, REPO), progress, QUICK)
    assert held(writable)["sub/notes.txt"] == b"edited"


def test_a_record_that_names_others_files_frees_none_of_them(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    """A hostile record, or one of a duplicated repository: neither git's files nor those that differ are touched."""
    folder = artifact()
    publish(Publication(folder, REPO), progress, QUICK)
    repo = writable.repos[REPO]
    record = json.loads(held(writable)["edgeconv.published.json"])
    theirs = {"LICENSE": b"MIT", "other/model.safetensors": b"weights"}
    for name in (*theirs, ".gitattributes"):
        hostile = json.loads(json.dumps(record))
        hostile["targets"]["openvino-int4"]["files"][name] = {"size": 3, "sha256": "0" * 64, "blob": "0" * 40}
        files = repo.commits[repo.refs["main"]] | theirs | {"edgeconv.published.json": json.dumps(hostile).encode()}
        repo.push(files)
        if name == ".gitattributes":
            with pytest.raises(AccessError, match=r"edgeconv\.published\.json"):
                publish(Publication(folder, REPO), progress, QUICK)
        else:
            assert publish(Publication(folder, REPO), progress, QUICK).change.deleted == ()
        now = repo.commits[repo.refs["main"]]
        assert {key: now[key] for key in (*theirs, ".gitattributes")} == theirs | {
            ".gitattributes": files[".gitattributes"]
        }


@pytest.mark.fault("publish: another precision is in the repository", says="Refused; --replace takes its place.")
def test_another_precision_takes_the_place_only_if_asked(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    publish(Publication(artifact(), REPO), progress, QUICK)
    other = artifact(name="other")
    without(other, "sub/notes.txt")
    scheme = json.loads((other / "edgeconv.json").read_text())["scheme"] | {"precision": "int8"}
    remade(other, scheme=scheme)
    before = held(writable)
    with pytest.raises(AccessError, match="holds openvino-int4, and only GGUF types") as caught:
        publish(Publication(other, REPO), progress, QUICK)
    assert "--replace openvino-int4" in str(caught.value.hint)
    assert held(writable) == before
    done = publish(Publication(other, REPO, replace=("openvino-int4",)), progress, QUICK)
    assert done.change.deleted == ("sub/notes.txt",)
    assert set(json.loads(held(writable)["edgeconv.published.json"])["targets"]) == {"openvino-int8"}


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.fault("publish: --private, and the repository is public", says="Refused; nothing is sent.")
def test_private_to_a_public_repository_is_refused(
    dry: bool, writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    writable.add_repo(REPO, {})
    with pytest.raises(AccessError, match="is there already and is public") as caught:
        (plan if dry else publish)(Publication(artifact(), REPO, private=True), progress, QUICK)
    assert caught.value.exit_code == 4
    assert held(writable) == {}
    writable.repos[REPO].private = True
    publish(Publication(artifact(), REPO, private=True), progress, QUICK)


def test_a_public_repository_that_appears_meanwhile_gets_nothing(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    writable.on_request("/api/repos/create", lambda: writable.add_repo(REPO, {}))
    writable.faults[-1].method = "POST"
    with pytest.raises(AccessError, match="is public, though it was to be a private one"):
        publish(Publication(artifact(), REPO, private=True), progress, QUICK)
    assert held(writable) == {}


def test_files_that_appear_meanwhile_are_not_overwritten(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    writable.on_request("/api/repos/create", lambda: writable.add_repo(REPO, {"README.md": b"theirs"}))
    writable.faults[-1].method = "POST"
    with pytest.raises(AccessError, match="Somebody else changed"):
        publish(Publication(artifact(), REPO), progress, QUICK)
    assert held(writable) == {"README.md": b"theirs"}


RIGHTS: list[tuple[dict[str, Any], list[str], str]] = [
    ({"role": "read"}, ["org"], "may read only"),
    (
        {"role": "fineGrained", "fineGrained": {"scoped": [{"permissions": ["repo.content.read"]}]}},
        ["org"],
        "may read only",
    ),
    ({"role": "write"}, ["elsewhere"], "it is of tester, elsewhere"),
]


@pytest.mark.parametrize(("access", "organizations", "says"), RIGHTS)
@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.fault("publish: the token's rights, in a dry run too", says="Asked first; refused, exit code 4.")
def test_the_tokens_rights_are_asked_first(
    access: dict[str, Any],
    organizations: list[str],
    says: str,
    dry: bool,
    writable: HubServer,
    artifact: Make,
    progress: Recorder,
) -> None:
    writable.access, writable.organizations = access, organizations
    with pytest.raises(AccessError, match=says):
        (plan if dry else publish)(Publication(artifact(), REPO), progress, QUICK)
    assert [request.path for request in writable.requests] == ["/api/whoami-v2"]


def test_rights_that_the_hub_does_not_tell_are_left_to_it(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    writable.access = {"role": "of a later version"}
    publish(Publication(artifact(), "Tester/model"), progress, QUICK)
    fine = {"scoped": [{"permissions": ["repo.content.read", "repo.write"]}]}
    writable.access = {"role": "fineGrained", "fineGrained": fine}
    publish(Publication(artifact(), REPO), progress, QUICK)


def test_no_token(writable: HubServer, artifact: Make, progress: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(AccessError, match="needs an access token"):
        plan(Publication(artifact(), REPO), progress, QUICK)
    assert writable.requests == []


def test_a_pull_request_needs_no_rights_of_the_owner(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    writable.add_repo("stranger/model", {})
    publish(Publication(artifact(), "stranger/model", create_pr=True), progress, QUICK)
    assert held(writable, "stranger/model") == {}


def test_a_renamed_repository_is_not_followed(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    writable.add_repo("org/old", {})
    writable.rename("org/old", "org/new")
    with pytest.raises(AccessError, match="org/old is called org/new now"):
        publish(Publication(artifact(), "org/old"), progress, QUICK)
    assert held(writable, "org/new") == {}


@pytest.mark.parametrize("name", ["your-name/model", "Your-Name/model"])
def test_a_placeholder_is_no_repository(name: str, artifact: Make, progress: Recorder) -> None:
    with pytest.raises(UsageError, match="is a placeholder"):
        plan(Publication(artifact(), name), progress, QUICK)


@pytest.mark.parametrize(
    "name",
    [".git/config", "sub/.GIT/x", ".gitattributes", "README.md", "edgeconv.published.json", "parity/x.json", "a\\b"],
)
@pytest.mark.fault(
    "publish: the manifest names .git/config or a file of ours", says="Refused before a repository is made."
)
def test_a_manifest_with_names_that_no_repository_may_hold(
    name: str, writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    folder = artifact()
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x")
    outputs = Manifest.model_validate_json((folder / "edgeconv.json").read_bytes()).outputs
    remade(folder, outputs=outputs | {name: FileDigest(size=1, sha256=artifacts.digest(folder / name).sha256)})
    with pytest.raises(ArtifactError, match=r"which no conversion writes|outside the folder"):
        publish(Publication(folder, REPO, allow_unvalidated=True), progress, QUICK)
    assert writable.requests == []


@pytest.mark.fault("hub: it holds other bytes than were sent", says="An error that names the files, exit code 5.")
def test_the_hubs_own_list_is_compared_afterwards(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    def spoil() -> None:
        for oid, data in list(writable.storage.items()):
            writable.storage[oid] = data[:-1] + bytes([data[-1] ^ 1])

    writable.on_request("/commit/main", spoil)
    writable.faults[-1].method = "POST"
    with pytest.raises(HubUnreachableError, match=r"does not hold what was sent: openvino_model\.bin\.") as caught:
        publish(Publication(artifact(), REPO), progress, QUICK)
    assert caught.value.exit_code == 5


def made_stray(folder: Path) -> None:
    (folder.parent / "secret.json").write_text("SENTINEL")
    (folder / "parity/x.json").symlink_to(folder.parent / "secret.json")
    (folder / "parity/lab-notes.md").write_text("SENTINEL")
    (folder / "parity/parity.html").write_text("<script>SENTINEL</script>")
    (folder / "parity/parity.md").write_text("Passed: SENTINEL")


@pytest.mark.fault("publish: other files, links and edited pages in parity/", says="None is sent: pages are made anew.")
def test_only_the_sealed_report_and_what_is_rendered_from_it_is_sent(
    writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    folder = artifact()
    data, report = (folder / "parity/parity.json").read_bytes(), read(folder / "parity")
    pages = {"parity.md": markdown.render(report).encode(), "parity.html": html.render(report).encode()}
    made_stray(folder)
    publish(Publication(folder, REPO), progress, QUICK)
    files = held(writable)
    assert not any(b"SENTINEL" in data for data in files.values())
    assert {name.removeprefix("parity/"): data for name, data in files.items() if "parity/" in name} == {
        "parity.json": data,
        **pages,
    }


def edited(data: dict[str, Any]) -> None:
    data["comparisons"][0]["figures"]["mean_kl"]["value"] = 0.0


def looser(data: dict[str, Any]) -> None:
    data["budgets"][0]["limit"] = 99.0


def of_other_version(data: dict[str, Any]) -> None:
    data["versions"]["edgeconv"] = "9"


def unsealed(data: dict[str, Any]) -> None:
    data["seal"] = None


@pytest.mark.parametrize(
    ("edit", "says"),
    [(edited, "was edited"), (looser, "was edited"), (of_other_version, "was edited"), (unsealed, "has no seal")],
)
@pytest.mark.fault("publish: parity.json was edited", says="Refused, exit code 3; `verify` says so too.")
def test_an_edited_report_is_not_believed(
    edit: Callable[[dict[str, Any]], None], says: str, writable: HubServer, artifact: Make, progress: Recorder
) -> None:
    folder = artifact()
    path = folder / "parity/parity.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    with pytest.raises(EdgeconvError, match=says) as caught:
        publish(Publication(folder, REPO), progress, QUICK)
    assert caught.value.exit_code == 3
    assert writable.requests == []

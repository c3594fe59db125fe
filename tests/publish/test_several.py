"""Several GGUF types of one model in one repository: none deletes another's files, and one card lists them all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import AccessError, ArtifactError
from edgeconv.core.manifest import FileDigest, Manifest
from edgeconv.publish.diff import load
from edgeconv.publish.publish import Publication, publish
from edgeconv.publish.verify import verify
from edgeconv.validate.formats.manifest import digest_of
from edgeconv.validate.report.write import write

from ..core import artifacts
from ..hub.conftest import QUICK, Recorder
from ..hub.server import HubServer
from ..validate import report_samples
from .conftest import REPO, Make, held

Gguf = Callable[..., Path]


@pytest.fixture
def gguf(artifact: Make) -> Gguf:
    """Makes a folder with a GGUF of that type and the tower that all types share."""

    def make(kind: str, *, validated: bool = True, tower: bytes = b"tower", source: str = "org/name") -> Path:
        folder = artifact(None, f"{kind}-{source.replace('/', '-')}")
        manifest = Manifest.model_validate_json((folder / "edgeconv.json").read_bytes())
        for name in manifest.outputs:
            (folder / name).unlink()
        files = {f"name-{kind.upper()}.gguf": kind.encode() * 1000, "mmproj-name-F16.gguf": tower}
        outputs: dict[str, FileDigest] = {}
        for name, data in files.items():
            (folder / name).write_bytes(data)
            outputs[name] = artifacts.digest(folder / name)
        manifest = manifest.model_copy(
            update={
                "target": "gguf",
                "scheme": recipe(kind).as_dict(),
                "outputs": outputs,
                "source": manifest.source.model_copy(update={"repo_id": source}),
            }
        )
        manifest.write(folder)
        if validated:
            report = report_samples.report("passed", tokens=20)
            subject = report.artifact.model_copy(update={"digest": digest_of(manifest)})
            write(report.model_copy(update={"artifact": subject}), folder / "parity")
        return folder

    return make


def send(
    folder: Path, progress: Recorder, *replace: str, unvalidated: bool = False
) -> tuple[set[str], tuple[str, ...]]:
    asked = Publication(folder, REPO, replace=replace, allow_unvalidated=unvalidated)
    change = publish(asked, progress, QUICK).change
    return set(change.sent), change.deleted


def test_a_second_type_deletes_nothing_and_each_is_published_once(
    writable: HubServer, gguf: Gguf, progress: Recorder
) -> None:
    small, large = gguf("q4_k_m"), gguf("q8_0")
    send(small, progress)
    first = held(writable)
    sent, deleted = send(large, progress)
    assert deleted == ()
    assert sent == {
        "name-Q8_0.gguf", "name-Q8_0.edgeconv.json", "name-Q8_0.parity/parity.json", "name-Q8_0.parity/parity.md",
        "name-Q8_0.parity/parity.html", "README.md", "edgeconv.published.json",
    }  # fmt: skip
    both = held(writable)
    changed = {name for name in first if both[name] != first[name]}
    assert changed == {"README.md", "edgeconv.published.json"}
    for folder in (small, large, small):
        assert send(folder, progress) == (set(), ())
    assert len(writable.commits) == 2
    found = verify(REPO, None, progress, QUICK)
    assert (found.whole, found.files, len(found.manifests), set(found.reports.values())) == (True, 3, 2, {"sealed"})


def test_the_card_lists_them_all_whatever_came_last(writable: HubServer, gguf: Gguf, progress: Recorder) -> None:
    send(gguf("q4_k_m"), progress)
    send(gguf("q8_0"), progress)
    text = held(writable)["README.md"].decode()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["tags"] == ["gguf", "edgeconv", "q4_k_m", "q8_0"]
    assert front["base_model"] == "org/name"
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(rows) == 2
    assert "(parity/parity.md)" in rows[0]
    assert "(name-Q8_0.parity/parity.md)" in rows[1]
    for part in ("How q4\\_k\\_m was made", "How q8\\_0 was made", "`name-Q8_0.edgeconv.json`", "`edgeconv.json`"):
        assert part in text


def test_the_order_of_publication_changes_only_where_reports_lie(
    writable: HubServer, gguf: Gguf, progress: Recorder
) -> None:
    send(gguf("q8_0"), progress)
    send(gguf("q4_k_m"), progress)
    rows = [line for line in held(writable)["README.md"].decode().splitlines() if line.startswith("| **")]
    assert [row.split("**")[1] for row in rows] == ["q4\\_k\\_m", "q8\\_0"]


def test_what_is_not_shown_of_one_is_said(writable: HubServer, gguf: Gguf, progress: Recorder) -> None:
    send(gguf("q4_k_m"), progress)
    send(gguf("q8_0", validated=False), progress, unvalidated=True)
    text = held(writable)["README.md"].decode()
    assert "Nobody has shown that q8\\_0 is still the same model" in text
    assert "there is no parity report" in text
    assert send(gguf("q4_k_m"), progress) == (set(), ())


def test_a_new_version_of_one_leaves_the_other(writable: HubServer, gguf: Gguf, progress: Recorder) -> None:
    send(gguf("q4_k_m"), progress)
    send(gguf("q8_0"), progress)
    before = held(writable)
    folder = gguf("q8_0", validated=False)
    sent, deleted = send(folder, progress, unvalidated=True)
    assert sent == {"README.md", "edgeconv.published.json"}
    assert set(deleted) == {f"name-Q8_0.parity/parity.{kind}" for kind in ("json", "md", "html")}
    after = held(writable)
    assert {name: after[name] for name in before if "Q4_K_M" in name} == {
        name: data for name, data in before.items() if "Q4_K_M" in name
    }


def test_a_file_of_both_is_not_overwritten_by_one(writable: HubServer, gguf: Gguf, progress: Recorder) -> None:
    send(gguf("q4_k_m"), progress)
    with pytest.raises(AccessError, match=r"mmproj-name-F16\.gguf \(of gguf-q4_k_m\)"):
        send(gguf("q8_0", tower=b"another tower"), progress)


def test_dropping_one_keeps_what_the_other_needs(writable: HubServer, gguf: Gguf, progress: Recorder) -> None:
    send(gguf("q4_k_m"), progress)
    send(gguf("q8_0"), progress)
    _, deleted = send(gguf("q8_0"), progress, "gguf-q4_k_m")
    assert set(deleted) == {
        "name-Q4_K_M.gguf", "edgeconv.json", "parity/parity.json", "parity/parity.md", "parity/parity.html",
    }  # fmt: skip
    text = held(writable)["README.md"].decode()
    assert "(name-Q8_0.parity/parity.md)" in text
    assert "Q4_K_M" not in text
    assert verify(REPO, None, progress, QUICK).whole


def test_another_model_does_not_share(writable: HubServer, gguf: Gguf, progress: Recorder) -> None:
    send(gguf("q4_k_m"), progress)
    with pytest.raises(AccessError, match="only GGUF types of one model"):
        send(gguf("q8_0", source="org/another"), progress)


@pytest.mark.parametrize("name", ["edgeconv.json", "parity/parity.json"])
def test_a_neighbor_that_was_edited_is_not_put_on_the_card(
    name: str, writable: HubServer, gguf: Gguf, progress: Recorder
) -> None:
    send(gguf("q4_k_m"), progress)
    repo = writable.repos[REPO]
    data = held(writable)[name].replace(b"org/name", b"org/evil").replace(b'"value": 0', b'"value": 9')
    repo.push(repo.commits[repo.refs["main"]] | {name: data + b" "})
    with pytest.raises(AccessError, match="is not what was published") as caught:
        send(gguf("q8_0"), progress)
    assert "--replace gguf-q4_k_m" in str(caught.value.hint)


def test_verify_names_what_is_wrong_with_a_published_report(
    writable: HubServer, gguf: Gguf, progress: Recorder
) -> None:
    send(gguf("q4_k_m"), progress)
    send(gguf("q8_0"), progress)
    repo = writable.repos[REPO]
    data = json.loads(held(writable)["name-Q8_0.parity/parity.json"])
    data["budgets"] = []
    other = held(writable)["name-Q8_0.parity/parity.json"]
    changed = {"name-Q8_0.parity/parity.json": json.dumps(data).encode(), "parity/parity.json": other}
    repo.push(repo.commits[repo.refs["main"]] | changed)
    found = verify(REPO, None, progress, QUICK)
    assert found.reports == {
        "parity/parity.json": "about other files",
        "name-Q8_0.parity/parity.json": "edited",
    }
    assert not found.whole
    with pytest.raises(ArtifactError, match="holds several models"):
        load(REPO, progress, QUICK)

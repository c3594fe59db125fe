from pathlib import Path

import pytest

from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.hub.source import Source, is_revision, parse


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_hub_ids() -> None:
    assert parse("org/name") == Source("hub", "org/name", repo_id="org/name")
    assert parse("gpt2") == Source("hub", "gpt2", repo_id="gpt2")
    assert parse("zai-org/glm-edge-1.5b-chat").repo_id == "zai-org/glm-edge-1.5b-chat"


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "a" * 40, "feature/x-y_z"])
def test_revision_in_either_place(revision: str) -> None:
    assert parse(f"org/name@{revision}").revision == revision
    assert parse("org/name", revision).revision == revision
    assert parse(f"org/name@{revision}", revision).label == f"org/name@{revision}"


def test_two_revisions_disagree() -> None:
    with pytest.raises(UsageError, match=r"'v1'.*'v2'"):
        parse("org/name@v1", "v2")


@pytest.mark.parametrize("revision", ["", "..", "../main", "a/../b", "-x", "a b", "a\nb", "/etc", "a//b", "x.", "a\\b"])
def test_malformed_revisions(revision: str) -> None:
    assert not is_revision(revision)
    with pytest.raises(UsageError):
        parse("org/name", revision)
    with pytest.raises(UsageError):
        parse(f"org/name@{revision}")


@pytest.mark.parametrize(
    "model",
    ["", " ", "a/b/c", "org/", "/".join("ab") + "/", "org/na me", "org--x/name", "a..b", "org/name.git", "-org/name",
     "org\\name", "x" * 97, "org/n\0", "模型"],
)  # fmt: skip
def test_neither_path_nor_id(model: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(model)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("https://huggingface.co/org/name", "org/name"),
        ("https://huggingface.co/org/name/tree/v1", "org/name@v1"),
        ("hf://org/name", "org/name"),
    ],
)
def test_addresses_get_the_id_as_hint(model: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(model)
    assert caught.value.hint == f"Write the id alone: {meant}"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    for written in ("org/name", "./org/name", str(folder), "~/org/name", "org/../org/name", "org/name/"):
        assert parse(written) == Source("folder", written, folder=folder.resolve())
    monkeypatch.chdir(folder)
    assert parse(".").folder == folder.resolve()
    assert parse("..").folder == folder.parent.resolve()


def test_folder_with_at_sign(tmp_path: Path) -> None:
    (tmp_path / "model@v1").mkdir()
    assert parse("model@v1").kind == "folder"


@pytest.mark.parametrize("model", ["./absent", "../absent", "/absent/x", "~/absent", "~nobody-of-this-name/x"])
def test_absent_folder(model: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse(model)
    assert model in caught.value.message
    assert caught.value.hint


def test_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="is a file") as caught:
        parse("model.zip")
    assert "unpack" in (caught.value.hint or "")


def test_a_gguf_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    for written in ("model.gguf", "./model.gguf", str(tmp_path / "model.gguf")):
        assert parse(written) == Source("file", written, folder=tmp_path / "model.gguf")
    with pytest.raises(UsageError, match="a file has no revision"):
        parse("./model.gguf", "main")


def test_folder_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    with pytest.raises(UsageError, match="no revision") as caught:
        parse("org/name", "main")
    assert "of the Hub" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no revision"):
        parse("org/name@main")
    with pytest.raises(UsageError, match="no revision"):
        parse("./org/name", "main")

import json
from pathlib import Path

import pytest

from edgeconv.core.errors import ArtifactError
from edgeconv.core.manifest import MANIFEST_NAME, log_path, manifest_of, manifest_path, read_manifest, sidecar

from .artifacts import digest, make


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    assert read_manifest(tmp_path) == manifest


def test_the_same_content_has_one_form(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    first = (tmp_path / MANIFEST_NAME).read_bytes()
    shuffled = manifest.model_copy(update={"outputs": dict(reversed(manifest.outputs.items()))})
    shuffled.write(tmp_path)
    assert (tmp_path / MANIFEST_NAME).read_bytes() == first


def test_text_outside_ascii_is_kept(tmp_path: Path) -> None:
    manifest = make(tmp_path).model_copy(update={"notes": ["组 128"]})
    manifest.write(tmp_path)
    assert "组 128" in (tmp_path / MANIFEST_NAME).read_text("utf-8")
    assert read_manifest(tmp_path).notes == ["组 128"]


def test_a_folder_without_one_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no edgeconv") as caught:
        read_manifest(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [
        ("engine", None, "engine"),
        ("tensors", [{"name": "q"}], "tensors.0"),
        ("target", "tflite", "target"),
        ("surprise", 1, "surprise"),
        ("manifest", 2, "manifest"),
    ],
)
def test_a_field_that_is_wrong_is_named(tmp_path: Path, field: str, value: object, where: str) -> None:
    make(tmp_path)
    path = tmp_path / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), field: value}), "utf-8")
    with pytest.raises(ArtifactError, match="not a valid manifest") as caught:
        read_manifest(tmp_path)
    assert where in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"manifest": 1}'])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ArtifactError, match="not a valid manifest"):
        read_manifest(tmp_path)


def test_a_single_files_manifest_lies_beside_it(tmp_path: Path) -> None:
    assert sidecar(tmp_path / "x.gguf") == tmp_path / "x.edgeconv.json"
    assert sidecar(tmp_path / "x-00002-of-00003.gguf") == tmp_path / "x.edgeconv.json"
    assert sidecar(tmp_path / "x.y-1.gguf") == tmp_path / "x.y-1.edgeconv.json"
    assert log_path(tmp_path / "x.edgeconv.json") == tmp_path / "x.edgeconv.log.json"
    assert log_path(tmp_path / MANIFEST_NAME) == tmp_path / "edgeconv.log.json"


def test_manifests_are_found_from_folders_and_files(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    for artifact in (tmp_path, tmp_path / "openvino_model.bin"):
        assert manifest_path(artifact) == tmp_path / MANIFEST_NAME
        assert manifest_of(artifact) == manifest
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    assert manifest_of(tmp_path / "x.gguf") is None  # the folder's manifest does not name it
    own = manifest.model_copy(update={"outputs": {"x.gguf": digest(tmp_path / "x.gguf")}})
    own.write(tmp_path, "x.edgeconv.json")
    assert manifest_of(tmp_path / "x.gguf") == own == read_manifest(tmp_path / "x.edgeconv.json")
    assert manifest_of(tmp_path / "x-00001-of-00002.gguf") is None
    assert manifest_of(tmp_path / "sub") is None
    (tmp_path / "x.edgeconv.json").write_text("{}")
    with pytest.raises(ArtifactError, match="not a valid manifest"):
        manifest_of(tmp_path / "x.gguf")

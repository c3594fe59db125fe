from pathlib import Path

import pytest

from edgeconv.core.errors import ArtifactError
from edgeconv.core.progress import Silent
from edgeconv.validate.artifact import check_files

from ..core.artifacts import digest, make


def test_whole(tmp_path: Path) -> None:
    check = check_files(tmp_path, make(tmp_path), Silent())
    assert check.whole
    assert (check.damaged, check.missing, check.extra) == ((), (), ())


def test_every_difference_has_its_list(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    (tmp_path / "openvino_model.bin").write_bytes(b"short")
    (tmp_path / "config.json").unlink()
    (tmp_path / "sub" / "more.txt").write_text("x")
    (tmp_path / "edgeconv.log.json").write_text("{}")
    check = check_files(tmp_path, manifest, Silent())
    assert not check.whole
    assert check.damaged == ("openvino_model.bin",)
    assert check.missing == ("config.json",)
    assert check.extra == ("sub/more.txt",)


def test_the_same_size_is_not_the_same_file(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    (tmp_path / "sub" / "notes.txt").write_bytes(b"y")
    assert check_files(tmp_path, manifest, Silent()).damaged == ("sub/notes.txt",)


def test_a_folder_in_place_of_a_file_is_missing(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    assert check_files(tmp_path, manifest, Silent()).missing == ("config.json",)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/../../secret", "sub\\..\\secret", "a\0b"])
def test_a_manifest_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "out").mkdir()
    manifest = make(tmp_path / "out")
    hostile = manifest.model_copy(update={"outputs": {**manifest.outputs, name: digest(tmp_path / "secret")}})
    with pytest.raises(ArtifactError, match="outside the folder"):
        check_files(tmp_path / "out", hostile, Silent())


def test_its_own_report_is_no_foreign_file(tmp_path: Path) -> None:
    """A second report would differ from the first for it; found by `make kill`."""
    manifest = make(tmp_path)
    (tmp_path / "parity" / ".parity.md.partial-abc").mkdir(parents=True)
    for name in ("parity.json", "parity.html", ".parity.md.partial-abc/parity.md", "other.json"):
        (tmp_path / "parity" / name).write_text("")
    assert check_files(tmp_path, manifest, Silent()).extra == ("parity/other.json",)

from pathlib import Path

import pytest

from edgeconv.core.errors import ArtifactError
from edgeconv.core.outputs import OutputCheck, check_outputs
from edgeconv.core.progress import Silent

from .artifacts import make


def test_what_differs_is_named(tmp_path: Path) -> None:
    outputs = make(tmp_path).outputs
    (tmp_path / "mine.txt").write_text("not ours")
    assert check_outputs(tmp_path, outputs, Silent()) == OutputCheck((), ())
    (tmp_path / "sub" / "notes.txt").unlink()
    data = bytearray((tmp_path / "openvino_model.bin").read_bytes())
    data[7] ^= 1
    (tmp_path / "openvino_model.bin").write_bytes(data)
    (tmp_path / "config.json").write_text("")
    found = check_outputs(tmp_path, outputs, Silent())
    assert found == OutputCheck(("config.json", "openvino_model.bin"), ("sub/notes.txt",))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\\b", "a\0b"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    digest = make(tmp_path).outputs["config.json"]
    with pytest.raises(ArtifactError, match="outside"):
        check_outputs(tmp_path, {name: digest}, Silent())

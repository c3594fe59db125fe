"""A single GGUF with its manifest beside it, and two formats of one checkpoint, through publish, verify and diff."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import GgufJob, OnnxJob, run
from edgeconv.convert.conversion import run as run_onnx
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import ArtifactError
from edgeconv.core.manifest import read_manifest, sidecar
from edgeconv.core.progress import Silent
from edgeconv.publish.publish import Publication, publish
from edgeconv.publish.verify import verify
from edgeconv.quantize.scheme import Request
from edgeconv.validate.formats.manifest import digest_of
from edgeconv.validate.report.write import write

from ..cli.conftest import Command, edgeconv  # noqa: F401 - a fixture
from ..hub.server import HubServer
from ..validate import report_samples
from .conftest import REPO, held


@pytest.fixture
def file(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.txt").write_text("something of the user's")
    return run(GgufJob(str(tiny_model("llama")), recipe("q8_0"), output=tmp_path / "work" / "x.gguf")).path


def report_on(file: Path) -> None:
    report = report_samples.report("passed", tokens=20)
    subject = report.artifact.model_copy(update={"digest": digest_of(read_manifest(sidecar(file)))})
    write(report.model_copy(update={"artifact": subject}), file.with_name("x.parity"))


def test_it_is_verified(file: Path) -> None:
    found = verify(str(file), None, Silent())
    assert found.whole
    assert found.extra == ()  # what else lies there is none of its business
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    assert verify(str(file), None, Silent()).damaged == ("x.gguf",)
    sidecar(file).unlink()
    with pytest.raises(ArtifactError, match="no manifest beside it"):
        verify(str(file), None, Silent())


def test_it_is_published_as_a_folder_would_be(file: Path, writable: HubServer) -> None:
    report_on(file)
    publish(Publication(file, REPO), Silent())
    files = held(writable)
    assert {"x.gguf", "edgeconv.json", "README.md", "parity/parity.json"} <= set(files)
    assert "mine.txt" not in files
    assert files["x.gguf"] == file.read_bytes()
    assert verify(REPO, None, Silent()).whole


def test_a_file_in_a_folder_is_that_folder(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    made = run(GgufJob(str(tiny_model("llama")), recipe("q8_0"), output=tmp_path / "out"))
    (file,) = made.path.glob("*.gguf")
    assert verify(str(file), None, Silent()).whole


def test_formats_are_compared(
    file: Path,
    edgeconv: Command,  # noqa: F811
    tiny_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Fields of one scheme are lists or mappings, and the other has none of them."""
    source = str(tiny_model("llama"))
    folders = [
        file,
        conversion.run(conversion.Job(source, Request("int4"), output=tmp_path / "ov")).path,
        run_onnx(OnnxJob(source, Request("int8"), output=tmp_path / "onnx")).path,
    ]
    for first in folders:
        for second in folders:
            shown = edgeconv("diff", first, second, "--tensors")
            assert shown.code == 0
            assert ("another format" in shown.out) == (first != second)
            told = json.loads(edgeconv("diff", first, second, "--json").out)
            assert told["same"] == (first == second)
            assert not told["tensors"]

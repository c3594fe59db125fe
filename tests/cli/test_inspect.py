import json
from pathlib import Path

import pytest

from edgeconv.core.manifest import MANIFEST_NAME

from .conftest import Command


def facts(text: str) -> dict[str, str]:
    rows = [line.partition(":") for line in text.split("\n\n", maxsplit=1)[0].splitlines()]
    return {label: value.strip() for label, _, value in rows}


def test_what_the_manifest_says(edgeconv: Command, artifact: Path) -> None:
    result = edgeconv("inspect", artifact)
    assert (result.code, result.err) == (0, "Checking files …\n")
    said = facts(result.out)
    assert said["source"] == "org/name@0123456789abcdef0123456789abcdef01234567 (glm, 1,664 parameters)"
    assert said["size"] == "2.07 kB"
    assert said["bits per weight"] == "6.15"
    assert said["scheme"].startswith("int4_asym, group 32, ratio 1")
    assert said["engine"] == "stream, compressor edgeconv"
    assert said["rows of q and k"] == "as in the checkpoint"
    assert said["assumed"] == "partial_rotary_factor = 0.5"
    assert said["versions"] == "openvino 2026.4.1"
    assert said["files"] == "3, all whole"


def test_the_histogram_counts_per_precision_and_group(edgeconv: Command, artifact: Path) -> None:
    table = [line.split() for line in edgeconv("inspect", artifact).out.split("\n\n")[1].splitlines()]
    assert table[1] == ["int8_asym", "row", "1", "640", "670", "B"]
    assert table[2] == ["int4_asym", "32", "2", "1,024", "592", "B"]


def test_tensors_are_listed_on_demand(edgeconv: Command, artifact: Path) -> None:
    assert "10×64" not in edgeconv("inspect", artifact).out
    assert "10×64" in edgeconv("inspect", artifact, "--tensors").out


def test_permuted_rows_are_named(edgeconv: Command, artifact: Path) -> None:
    path = artifact / MANIFEST_NAME
    path.write_text(path.read_text("utf-8").replace('"row_order": "source"', '"row_order": "rotate_half"'), "utf-8")
    assert "--rope fused" in facts(edgeconv("inspect", artifact).out)["rows of q and k"]


def test_the_half_that_sees_and_the_files_of_weights(edgeconv: Command, artifact: Path) -> None:
    path = artifact / MANIFEST_NAME
    document = json.loads(path.read_text("utf-8"))
    scheme = document["scheme"] | {"mode": "int8_sym", "group_size": -1, "precision": "int8"}
    document["vision"] = {"scheme": scheme, "image_size": 672, "image_tokens": 578, "placeholder_id": 59256}
    for entry, name in zip(document["tensors"], ("openvino_text_embeddings_model.xml", "a.xml", "a.xml"), strict=True):
        entry["file"] = name
    path.write_text(json.dumps(document), "utf-8")
    said = facts(edgeconv("inspect", artifact).out)
    assert said["vision"].startswith("int8_sym")
    assert said["picture"] == "672 × 672 pixels, 578 tokens of id 59256"
    listed = edgeconv("inspect", artifact, "--tensors").out.split("\n\n")[2].splitlines()
    assert listed[0].split()[-1] == "File"
    assert listed[1].split()[-1] == "openvino_text_embeddings_model.xml"
    document["vision"]["scheme"] = {"rotation": "hadamard"}
    path.write_text(json.dumps(document), "utf-8")
    assert facts(edgeconv("inspect", artifact).out)["vision"] == "rotation hadamard"


def test_json(edgeconv: Command, artifact: Path) -> None:
    result = edgeconv("inspect", artifact, "--json")
    assert result.err == ""
    assert result.data["files"] == {"damaged": [], "missing": [], "extra": [], "whole": True}
    assert result.data["manifest"]["source"]["repo_id"] == "org/name"
    assert "tensors" not in result.data["manifest"]
    assert result.data["precisions"][1] == {
        "precision": "int4_asym", "group_size": 32, "tensors": 2, "parameters": 1024, "bytes": 592,
    }  # fmt: skip
    assert len(edgeconv("inspect", artifact, "--json", "--tensors").data["manifest"]["tensors"]) == 3


def test_a_flipped_bit_is_found(edgeconv: Command, artifact: Path) -> None:
    path = artifact / "openvino_model.bin"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    result = edgeconv("inspect", artifact)
    assert result.code == 1
    assert "damaged: openvino_model.bin" in facts(result.out)["files"]
    assert "openvino_model.bin is damaged" in result.err


def test_a_missing_file_is_found(edgeconv: Command, artifact: Path) -> None:
    (artifact / "config.json").unlink()
    result = edgeconv("inspect", artifact, "--json")
    assert result.code == 1
    assert result.data["files"]["missing"] == ["config.json"]
    assert result.error["kind"] == "ArtifactError"


def test_a_file_that_somebody_added_is_said_and_does_no_harm(edgeconv: Command, artifact: Path) -> None:
    (artifact / "README.md").write_text("mine")
    result = edgeconv("inspect", artifact)
    assert result.code == 0
    assert facts(result.out)["files"] == "3, all whole; not in the manifest: README.md"


def test_an_edited_manifest_is_refused(edgeconv: Command, artifact: Path) -> None:
    path = artifact / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "extra": 1}), "utf-8")
    result = edgeconv("inspect", artifact)
    assert (result.code, result.out) == (1, "")
    assert "not a valid manifest" in result.err


def test_a_scheme_of_a_later_version_is_shown_all_the_same(edgeconv: Command, artifact: Path) -> None:
    path = artifact / MANIFEST_NAME
    document = json.loads(path.read_text("utf-8"))
    document["scheme"]["rotation"] = "hadamard"
    path.write_text(json.dumps(document), "utf-8")
    assert "rotation hadamard" in facts(edgeconv("inspect", artifact).out)["scheme"]


@pytest.mark.parametrize("name", ["absent", "empty", "file"])
def test_what_is_no_artifact(edgeconv: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    result = edgeconv("inspect", tmp_path / name)
    assert result.code == 1
    assert result.err.count("\n") == 2
    assert "hint: Give the folder" in result.err


@pytest.fixture
def ir(tmp_path: Path) -> Path:
    """An IR as another tool would write it: no manifest."""
    import numpy as np
    import openvino
    from openvino import opset13 as ops

    x = ops.parameter([1, 4], np.float32)
    weights = ops.constant(np.arange(12, dtype=np.float16).reshape(4, 3))
    model = openvino.Model([ops.matmul(x, ops.convert(weights, "f32"), False, False)], [x], "m")
    openvino.save_model(model, tmp_path / "ir" / "openvino_model.xml", compress_to_fp16=False)
    return tmp_path / "ir"


def test_an_ir_without_manifest(edgeconv: Command, ir: Path) -> None:
    result = edgeconv("inspect", ir)
    assert result.code == 0
    assert "There is no edgeconv.json" in result.out
    assert ["f16", "-", "1", "12", "24", "B"] in [line.split() for line in result.out.splitlines()]
    document = edgeconv("inspect", ir, "--json").data
    assert document["manifest"] is None
    assert document["element_types"] == [
        {"precision": "f16", "group_size": None, "tensors": 1, "parameters": 12, "bytes": 24}
    ]


def test_an_ir_without_its_weights(edgeconv: Command, ir: Path) -> None:
    (ir / "openvino_model.bin").unlink()
    result = edgeconv("inspect", ir)
    assert result.code == 1
    assert "openvino_model.bin is missing" in result.err


@pytest.mark.parametrize("file", ["openvino_model.xml", "openvino_model.bin"])
def test_a_truncated_ir(edgeconv: Command, ir: Path, file: str) -> None:
    (ir / file).write_bytes((ir / file).read_bytes()[:10])
    result = edgeconv("inspect", ir)
    assert result.code == 1
    assert "cannot read" in result.err
    assert "Traceback" not in result.err

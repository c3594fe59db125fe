"""From a checkpoint to a folder with an ONNX model, and what is refused on the way."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.conversion import OnnxJob, plan, run
from edgeconv.core.errors import CheckpointError, OutputError, UsageError
from edgeconv.core.manifest import read_manifest
from edgeconv.quantize.scheme import Request

from ...models import tiny_chatglm
from ..onnx.reading import Runner
from .test_chatglm import IDS, plain_logits


@pytest.fixture(scope="module")
def job(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxJob:
    return OnnxJob(str(builtin_model), Request("int4"), output=tmp_path_factory.mktemp("a") / "out")


@pytest.fixture(scope="module")
def folder(job: OnnxJob) -> Path:
    return run(job).path


def test_the_manifest_knows_every_file(folder: Path, builtin_model: Path) -> None:
    manifest = read_manifest(folder)
    assert (manifest.target, manifest.engine, manifest.compressor) == ("onnx", "stream", "edgeconv")
    assert manifest.scheme["chosen_by"] == "glm"
    for root, digests in ((folder, manifest.outputs), (builtin_model, manifest.source.files)):
        for name, digest in digests.items():
            data = (root / name).read_bytes()
            assert (digest.size, digest.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert set(manifest.outputs) == {p.name for p in folder.iterdir()} - {"edgeconv.json", "edgeconv.log.json"}
    assert {entry.precision for entry in manifest.tensors} == {"int4_sym", "int8_asym", "bf16"}
    assert 4.5 < manifest.bits_per_weight < 6
    assert str(builtin_model) not in (folder / "edgeconv.json").read_text()


def test_what_onnxruntime_genai_reads(folder: Path, builtin_model: Path) -> None:
    model = json.loads((folder / "genai_config.json").read_text())["model"]
    config = json.loads((builtin_model / "config.json").read_text())
    stops = json.loads((builtin_model / "generation_config.json").read_text())["eos_token_id"]
    assert model["eos_token_id"] == stops
    assert (model["vocab_size"], model["context_length"]) == (config["vocab_size"], config["max_position_embeddings"])
    assert model["decoder"]["num_hidden_layers"] == config["num_hidden_layers"]
    assert model["decoder"]["filename"] == "model.onnx"


def test_the_same_input_gives_the_same_bytes(job: OnnxJob, folder: Path, tmp_path: Path) -> None:
    again = run(replace(job, output=tmp_path / "again")).path
    for path in folder.iterdir():
        if path.name != "edgeconv.log.json":
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_the_folders_name_and_what_is_there_already(
    job: OnnxJob, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert plan(replace(job, output=None)).output.name == "glm_tiny-onnx-int4"
    with pytest.raises(OutputError):
        run(job)
    assert run(replace(job, force=True)).path == folder


def test_a_model_that_sees_is_three(tiny_vision_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_vision_model()
    asked = OnnxJob(str(source), Request("int8"), output=tmp_path / "out")
    planned = plan(asked)
    assert planned.image_tokens == 6
    assert "fp16" in dict(planned.rows())["vision"]
    made = run(asked)
    manifest, folder = made.manifest, made.path
    assert manifest.vision and (manifest.vision.image_tokens, manifest.vision.scheme["mode"]) == (6, "fp16")
    parts = ("decoder_model_merged", "embed_tokens", "vision_encoder")
    assert {name for name in manifest.outputs if ".onnx" in name} == {
        f"{p}.{e}" for p in parts for e in ("onnx", "onnx_data")
    }
    assert {entry.file for entry in manifest.tensors} == {f"{part}.onnx" for part in parts}
    assert planned.output_bytes == sum(file.size for file in manifest.outputs.values())
    assert json.loads((folder / "config.json").read_text())["model_type"] == "glm_edge_v"
    assert not (folder / "genai_config.json").exists()


def test_what_cannot_be_written(
    tiny_model: Callable[..., Path], tiny_vision_model: Callable[..., Path], builtin_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    spoilt = shutil.copytree(tiny_vision_model(), tmp_path / "model")
    preprocessor = json.loads((spoilt / "preprocessor_config.json").read_text())
    preprocessor["size"] = {"height": 28, "width": 28}
    (spoilt / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    with pytest.raises(UsageError, match="starcoder2"):
        run(OnnxJob(str(tiny_model("starcoder2")), Request("int8"), output=out, engine="stream"))
    with pytest.raises(UsageError, match="vision-precision"):
        run(OnnxJob(str(builtin_model), Request("int8"), output=out, vision_precision="int8"))
    with pytest.raises(CheckpointError, match="makes pictures of 28 px"):
        run(OnnxJob(str(spoilt), Request("int8"), output=out))
    with pytest.raises(UsageError, match="mxfp4"):
        run(OnnxJob(str(builtin_model), Request("mxfp4"), output=out))
    with pytest.raises(UsageError, match="accuracy-level"):
        run(OnnxJob(str(builtin_model), Request("int4"), output=out, accuracy_level=2))
    assert list(tmp_path.iterdir()) == [spoilt]


def test_a_chatglm_needs_no_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "chatglm2-6b"
    tiny_chatglm.make(source)
    (source / "modeling_chatglm.py").write_text("raise SystemExit('run without consent')")
    made = run(OnnxJob(str(source), Request("fp32"), output=tmp_path / "out"))
    assert np.abs(Runner(made.path).logits(IDS) - plain_logits(source)).max() < 2e-4
    assert (made.path / "tokenizer.json").is_file()

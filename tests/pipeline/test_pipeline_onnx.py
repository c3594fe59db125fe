"""From a checkpoint to a folder with an ONNX model, and what is refused on the way."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeconv.core.errors import CheckpointError, OutputError, UsageError
from edgeconv.core.manifest import read_manifest
from edgeconv.pipeline.onnx import OnnxJob, plan, run
from edgeconv.quantize.scheme import Request

from ..convert.onnx.reading import Runner
from ..models import tiny_chatglm
from .test_pipeline_chatglm import IDS, plain_logits


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


def test_what_cannot_be_written(
    tiny_model: Callable[..., Path], tiny_vision_model: Callable[..., Path], builtin_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match="gemma3_text"):
        run(OnnxJob(str(tiny_model("gemma3_text")), Request("int8"), output=out))
    with pytest.raises(CheckpointError, match="GLM-Edge-V"):
        run(OnnxJob(str(tiny_vision_model()), Request("int8"), output=out))
    with pytest.raises(UsageError, match="mxfp4"):
        run(OnnxJob(str(builtin_model), Request("mxfp4"), output=out))
    with pytest.raises(UsageError, match="accuracy-level"):
        run(OnnxJob(str(builtin_model), Request("int4"), output=out, accuracy_level=2))
    assert list(tmp_path.iterdir()) == []


def test_a_chatglm_needs_no_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "chatglm2-6b"
    tiny_chatglm.make(source)
    (source / "modeling_chatglm.py").write_text("raise SystemExit('run without consent')")
    made = run(OnnxJob(str(source), Request("fp32"), output=tmp_path / "out"))
    assert np.abs(Runner(made.path).logits(IDS) - plain_logits(source)).max() < 2e-4
    assert (made.path / "tokenizer.json").is_file()

"""GLM-Edge-V through a whole conversion: the folder that comes out, its manifest, and that our classes load it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.conversion import Job, plan, run
from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.core.manifest import LOG_NAME, read_manifest
from edgeconv.quantize.scheme import Request

from ...vision_ir import ALL, LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS, VisionRunner

Maker = Callable[..., Path]
IRS = (*ALL, "openvino_tokenizer.xml", "openvino_detokenizer.xml")
FILES = {
    *IRS, *(name.replace(".xml", ".bin") for name in IRS), "config.json", "generation_config.json", "openvino_config.json",
    "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json", "edgeconv.json", LOG_NAME,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tiny_vision_model: Maker) -> Path:
    return tiny_vision_model()


@pytest.fixture(scope="module")
def artifact(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(Job(str(source), Request("int4"), output=tmp_path_factory.mktemp("v") / "ov")).path


def test_files_and_manifest(artifact: Path, source: Path) -> None:
    assert {path.name for path in artifact.iterdir()} == FILES
    manifest = read_manifest(artifact)
    assert set(manifest.outputs) == FILES - {"edgeconv.json", LOG_NAME}
    for name, digest in manifest.outputs.items():
        assert hashlib.sha256((artifact / name).read_bytes()).hexdigest() == digest.sha256
    assert "preprocessor_config.json" in manifest.source.files
    assert manifest.source.model_type == "glm"
    scheme = {key: manifest.scheme[key] for key in ("mode", "group_size", "ratio", "chosen_by")}
    assert scheme == {"mode": "int4_sym", "group_size": 64, "ratio": 0.6, "chosen_by": "glm_edge_v"}
    assert manifest.vision
    assert (manifest.vision.scheme["mode"], manifest.vision.scheme["chosen_by"]) == ("fp16", "glm_edge_v")
    assert (manifest.vision.image_size, manifest.vision.image_tokens, manifest.vision.placeholder_id) == (56, 6, 4094)
    kinds = {(entry.file, entry.precision) for entry in manifest.tensors}
    assert {(TEXT_EMBEDDINGS, "int8_asym"), (LANGUAGE, "int4_sym"), (VISION_EMBEDDINGS, "f16")} <= kinds


def test_the_same_input_gives_the_same_bytes(artifact: Path, source: Path, tmp_path: Path) -> None:
    again = run(Job(str(source), Request("int4"), output=tmp_path / "ov")).path
    for path in artifact.iterdir():
        if path.name != LOG_NAME:
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_the_configs_name_our_classes_and_no_remote_code(artifact: Path, source: Path) -> None:
    config = json.loads((artifact / "config.json").read_text())
    assert config["model_type"] == "glm_edge_v"
    assert "auto_map" not in config
    before = json.loads((source / "config.json").read_text())
    same = set(before) - {"auto_map", "model_type", "architectures"}
    assert {key: config[key] for key in same} == {key: before[key] for key in same}
    parts = json.loads((artifact / "openvino_config.json").read_text())["quantization_config"]["quantization_configs"]
    assert {name: part["bits"] for name, part in parts.items()} == {"lm_model": 4, "text_embeddings_model": 8}


def test_our_processor_and_tokenizer_load_from_the_artifact(artifact: Path, source: Path) -> None:
    from PIL import Image
    from transformers import AutoConfig, AutoProcessor

    from edgeconv.convert.families import glm_edge_v_model as glm_edge_v

    glm_edge_v.register()
    assert AutoConfig.from_pretrained(artifact).image_tokens == 6
    processor = AutoProcessor.from_pretrained(artifact)
    assert type(processor).__name__ == "GlmEdgeVProcessor"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8))
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    made = []
    for one in (processor, glm_edge_v.load_processor(source)):
        text = one.apply_chat_template(message, add_generation_prompt=True)
        made.append(one(images=picture, text=text, return_tensors="np"))
    assert made[0].keys() == made[1].keys()
    assert all(np.array_equal(made[0][key], made[1][key]) for key in made[0])
    ids = made[0]["input_ids"][0].tolist()
    assert ids.count(4094) == 6
    runner = VisionRunner(artifact, 4094)
    assert runner.logits(runner.merge(ids, made[0]["pixel_values"])).shape == (len(ids), 4096)


def test_the_plan_says_what_becomes_of_both_halves(source: Path, tmp_path: Path) -> None:
    job = Job(str(source), Request("bf16"), output=tmp_path / "ov", vision_precision="int8")
    planned = plan(job)
    rows = dict(planned.rows())
    assert rows["model"].startswith("glm_edge_v,")
    assert rows["vision"] == "int8_asym, per channel (chosen by user); 6 tokens a picture"
    assert "stream" in rows["engine"]
    json.dumps(planned.as_dict())
    assert list(tmp_path.iterdir()) == []
    made = run(job)
    written = sum(file.size for file in made.manifest.outputs.values())
    assert planned.output_bytes == pytest.approx(written, rel=0.15)  # a tiny one: its graphs outweigh its weights
    assert made.manifest.compressor == "edgeconv"  # of the tower
    assert {entry.precision for entry in made.manifest.tensors if entry.file != VISION_EMBEDDINGS} == {"bf16"}


def test_a_float16_that_gives_way_is_in_the_manifest(source: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(source, tmp_path / "model")
    tensors = load_file(copy / "model.safetensors")
    tensors["model.vision.adapter.conv.weight"][0, 0, 0, 0] = 1e5
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    manifest = run(Job(str(copy), Request("int4"), output=tmp_path / "ov")).manifest
    assert manifest.vision
    assert (manifest.vision.scheme["mode"], manifest.vision.scheme["chosen_by"]) == ("bf16", "edgeconv")
    assert any("bf16 in the place of fp16: 1 weights of model.vision.adapter.conv.weight" in n for n in manifest.notes)


def test_refusals_leave_nothing(source: Path, builtin_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "ov"
    with pytest.raises(UsageError, match="no meaning for a text model"):
        plan(Job(str(builtin_model), Request("int4"), output=out, vision_precision="int8"))
    with pytest.raises(UsageError, match="trace engine takes text models"):
        run(Job(str(source), Request("int4"), output=out, engine="trace"))
    copy = shutil.copytree(source, tmp_path / "model")
    config = json.loads((copy / "tokenizer_config.json").read_text())
    config["chat_template"] = config["chat_template"].replace("range(6)", "range(578)")
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="writes 578"):
        run(Job(str(copy), Request("int4"), output=out))
    assert not out.exists()

"""The vision part in each of llama.cpp's projector types: byte for byte what its own converter writes, and its rows torch's."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.gguf import mmproj
from edgeconv.convert.gguf.metadata import Origin
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import CheckpointError
from edgeconv.core.progress import Silent
from edgeconv.runtimes.llama_cpp_vision import View, VisionRuntime

from ...models import tiny
from .projector_samples import FAMILIES, HIDDEN, make, noise, opened, torch_rows
from .record_projectors import RECORD, contents

RECORDED: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
MENDED = {
    "mistral3": ("v.token_embd.img_break",),  # its loader wants it, and the converter of 2026 leaves it out
    "internvl": ("v.position_embd.weight",),  # the class token's row is the last
}
"""Tensors that the converter's files lack, or have wrong."""
PRECISIONS = {"f16": "fp16", "f32": "fp32"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("projectors")
    return {model_type: make(model_type, folder / model_type) for model_type in FAMILIES}


def written(source: Path, model_type: str, out: Path, precision: str) -> Path:
    checkpoint, shapes = opened(source)
    declared = FAMILIES[model_type][0]
    made = mmproj.prepare(
        checkpoint, declared, shapes, f"mmproj-{model_type}.gguf", precision=precision, origin=Origin("x")
    )
    mmproj.export(checkpoint, made, out, Silent())
    assert (out / made.file.name).stat().st_size == made.file.size
    return out / made.file.name


@pytest.mark.parametrize("kind", PRECISIONS)
@pytest.mark.parametrize("model_type", RECORDED)
def test_tensors_and_keys_are_the_converters(
    model_type: str, kind: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    made = contents(written(sources[model_type], model_type, tmp_path, PRECISIONS[kind]))
    wanted = RECORDED[model_type][kind]
    for name in MENDED.get(model_type, ()):
        assert made["tensors"].pop(name) != wanted["tensors"].pop(name, None)
    if (model_type, kind) == ("gemma3", "f32"):  # the converter's is float16 in every file
        assert wanted["tensors"].pop("mm.input_projection.weight")[1] == "f16"
        assert made["tensors"].pop("mm.input_projection.weight")[1] == "f32"
    assert made == wanted


def test_the_class_tokens_row_is_the_last_one_of_internvl(sources: dict[str, Path], tmp_path: Path) -> None:
    file = open_gguf(written(sources["internvl"], "internvl", tmp_path, "fp32"))
    checkpoint, _ = opened(sources["internvl"])
    name = "model.vision_tower.embeddings.position_embeddings"
    table = np.asarray(checkpoint.tensor(name)).astype(np.uint32)[0]
    held = np.asarray(file.dequantized("v.position_embd.weight")).reshape(table.shape)
    assert np.array_equal(np.roll(table << 16, -1, axis=0).view(np.float32), held)


def test_every_tensor_is_written_once_or_refused(sources: dict[str, Path], tmp_path: Path) -> None:
    for model_type, (declared, _) in FAMILIES.items():
        checkpoint, shapes = opened(sources[model_type])
        sizes = declared.sizes(checkpoint.config)
        made = mmproj.tensors(checkpoint, declared, sizes, shapes)
        names = [tensor.name for tensor in made]
        assert len(set(names)) == len(names)
        elements = sum(int(np.prod(tensor.shape)) for tensor in made if tensor.source in shapes)
        left = [name for name in shapes if name not in {tensor.source for tensor in made}]
        assert elements == sum(int(np.prod(shape)) for name, shape in shapes.items() if name not in left)
        assert model_type == "llava" or not left
        missing = {**shapes, f"{declared.layer}0.strange.weight": (2, 2)}
        with pytest.raises(CheckpointError, match="missing"):
            mmproj.tensors(checkpoint, declared, sizes, missing)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("qwen2_vl", {"vision_config": {"spatial_merge_size": 4}}, "merges 4 x 4 patches"),
    ("qwen2_5_vl", {"vision_config": {"window_size": 56}}, "windows are 56 pixels"),
    ("qwen2_5_vl", {"vision_config": {"fullatt_block_indexes": [0, 3]}}, "see all patches"),
    ("qwen2_vl", {"vision_config": {"hidden_act": "relu"}}, "uses relu"),
    ("gemma3", {"vision_config": {"hidden_act": "gelu"}}, "tanh form"),
    ("mistral3", {"text_config": {"rms_norm_eps": 1e-6}}, "epsilon"),
    ("internvl", {"vision_config": {"norm_type": "rms_norm"}}, "norms"),
    ("internvl", {"downsample_ratio": 0.3}, "one over a whole number"),
    ("qwen3_vl", {"vision_config": {"deepstack_visual_indexes": [2, 0]}}, "order"),
    ("qwen3_vl", {"vision_config": {"deepstack_visual_indexes": [0, 9]}}, "not layers of a tower"),
    ("qwen3_vl", {"vision_config": {"num_position_embeddings": 15}}, "patches of a square"),
    ("llava", {"vision_config": {"model_type": "clip_vision_model"}}, "class token"),
    ("llava", {"vision_feature_select_strategy": "default"}, "first patch"),
    ("llava", {"vision_feature_layer": [3, 1]}, "rising order"),
    ("llava", {"vision_feature_layer": 9}, "has 4 layers"),
]


@pytest.mark.parametrize(("model_type", "changed", "reason"), REFUSED)
def test_what_the_graph_lacks_is_refused(
    model_type: str, changed: dict[str, Any], reason: str, sources: dict[str, Path]
) -> None:
    checkpoint, shapes = opened(sources[model_type])
    config = dict(checkpoint.config)
    for name, value in changed.items():
        if name == "text_config":
            config |= value
        else:
            config[name] = config[name] | value if isinstance(value, dict) else value
    other, declared = replace(checkpoint, config=config), FAMILIES[model_type][0]
    with pytest.raises(CheckpointError, match=reason):
        mmproj.prepare(other, declared, shapes, "x.gguf", precision="fp16", origin=Origin("x"))


ODD = (
    None,
    "x",
    "",
    -1,
    0,
    1,
    3,
    1.5,
    math.nan,
    math.inf,
    [],
    [1],
    ["x"],
    [14, 14],
    {},
    {"a": 1},
    True,
    10**400,
    2**31 - 1,
)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_odd_values_are_described_or_refused_with_a_sentence(model_type: str, sources: dict[str, Path]) -> None:
    checkpoint, shapes = opened(sources[model_type])
    declared, described = FAMILIES[model_type][0], 0
    vision = checkpoint.config["vision_config"]
    own = ("mm_tokens_per_image", "scale_factor", "downsample_ratio", "spatial_merge_size", "vision_feature_layer")
    changed = [{**checkpoint.config, "vision_config": {**vision, name: odd}} for name in vision for odd in ODD]
    changed += [{**checkpoint.config, name: odd} for name in (*own, "hidden_size") for odd in ODD]
    for config in changed:
        other = replace(checkpoint, config=config)
        try:
            mmproj.prepare(other, declared, shapes, "x.gguf", precision="fp16", origin=Origin("x"))
            described += 1
        except CheckpointError as error:
            assert error.hint, error.message
    assert described > 20


def test_mean_and_deviation_must_be_numbers(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(sources["qwen2_vl"], tmp_path / "x")
    for stated, reason in (
        ('{"image_mean": [1, 1], "image_std": [1, 1, 1]}', "image_mean"),
        ('{"image_mean": [0, 0, 0], "image_std": [1, 0, 1]}', "zero"),
        ('{"image_mean": [0, 0, 0]}', "image_std"),
    ):
        (folder / "preprocessor_config.json").write_text(stated, "utf-8")
        with pytest.raises(CheckpointError, match=reason):
            written(folder, "qwen2_vl", tmp_path, "fp16")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        written(folder, "qwen2_vl", tmp_path, "fp16")


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model beside which the towers are run: rows do not depend on it."""
    folder = tmp_path_factory.mktemp("language")
    source = tiny.make("llama", folder / "source", hidden_size=HIDDEN, num_attention_heads=4, head_dim=16)
    return run(GgufJob(str(source), recipe("f32"), output=folder / "model.gguf")).path


SIZES = {"square": ((56, 56),), "grid": ((112, 112), (112, 168), (224, 280)), "tiles": ((112, 112), (56, 112))}
RUN: dict[str, tuple[str, float]] = {
    "gemma3": ("square", 1e-3), "qwen2_vl": ("grid", 1e-3), "qwen2_5_vl": ("grid", 1e-3), "idefics3": ("tiles", 1e-3),
    "smolvlm": ("tiles", 1e-3), "internvl": ("square", 1e-3), "mistral3": ("grid", 1e-3), "glm4v": ("grid", 1e-5),
    "llava": ("square", 1e-3),
}  # fmt: skip
"""Model type → pictures that need no resizing, and the RMS error of rows over their RMS that llama.cpp's GELU leaves."""


@pytest.mark.parametrize("model_type", RUN)
def test_rows_are_torchs(model_type: str, sources: dict[str, Path], language: Path, tmp_path: Path) -> None:
    projector = written(sources[model_type], model_type, tmp_path, "fp32")
    eyes = VisionRuntime(language, projector, HIDDEN, True, projector.name)
    kind, allowed = RUN[model_type]
    pictures = [noise(*size) for size in SIZES[kind]]
    seen = eyes.look([View(picture) for picture in pictures], Silent(), "")
    for picture, glance in zip(pictures, seen, strict=True):
        expected = torch_rows(sources[model_type], model_type, picture)
        found = glance.rows
        if model_type == "mistral3":  # without the ends of lines, which transformers puts into the prompt
            found = found[[i for i in range(len(found)) if (i + 1) % (picture.shape[1] // 28 + 1)]]
        if kind == "tiles":  # the picture as a whole is behind them, resized
            assert len(found) == len(expected) + 4
            found = found[: len(expected)]
        assert found.shape == expected.shape
        assert np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()) < allowed


def test_a_norm_that_b9190_adds_to_glm_ocr(sources: dict[str, Path], language: Path, tmp_path: Path) -> None:
    """The deviation that the plan names; once it passes as the others do, the sentence has to go."""
    projector = written(sources["glm_ocr"], "glm_ocr", tmp_path, "fp32")
    (glance,) = VisionRuntime(language, projector, HIDDEN, True, "x").look([View(noise(112, 112))], Silent(), "")
    plain = torch_rows(sources["glm_ocr"], "glm_ocr", noise(112, 112))
    normed = torch_rows(sources["glm_ocr"], "glm_ocr", noise(112, 112), norm_patches=True)
    assert np.abs(glance.rows - plain).max() > 0.1
    assert np.abs(glance.rows - normed).max() < 1e-4

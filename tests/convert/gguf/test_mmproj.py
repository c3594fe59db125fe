"""The vision part, in llama.cpp's multimodal library beside torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cyllama.llama import llama_cpp as lib
from PIL import Image

from edgeconv.convert import families
from edgeconv.convert.conversion import GgufJob, plan, run
from edgeconv.convert.families import decoder, glm_edge_v
from edgeconv.convert.families.glm_edge_v_model import load
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError, UsageError

from ...models import tiny_v
from .llama_cpp import load as load_model

DEVIATION = 2e-3
"""RMS error relative to the rows' RMS: llama.cpp's tanh GELU and its epsilon in the adapter, at a width of 64."""


def error(found: Any, expected: Any) -> float:
    return float(np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_v.make_glm_edge_v(tmp_path_factory.mktemp("v") / "tiny-v", pooling_head=True)


def rows_of(model: Path, projector: Path, picture: Image.Image) -> Any:
    """What the library makes of a picture: float32 [rows, hidden]."""
    context = lib.MtmdContext(str(projector), load_model(model), lib.MtmdContextParams(use_gpu=False, n_threads=1))
    bitmap = lib.MtmdBitmap.create_image(picture.width, picture.height, picture.tobytes())
    chunks = context.tokenize("<__media__>", [bitmap], False, True)
    seen = [chunk for chunk in chunks if chunk.type == lib.MtmdInputChunkType.IMAGE]
    assert len(seen) == 1
    assert context.encode_chunk(seen[0]) == 0
    hidden = tiny_v.TEXT["hidden_size"]
    made = context.get_output_embeddings(seen[0].n_tokens, hidden)
    return np.array(made, np.float32).reshape(-1, hidden)


def expected_rows(source: Path, picture: Image.Image) -> Any:
    import torch

    model = load(source, dtype="float32")
    pixels = torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        return model.get_image_features(pixels).pooler_output[0].float().numpy()


def picture(size: int = tiny_v.IMAGE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (size, size, 3), np.uint8), "RGB")


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", DEVIATION), ("fp16", 5e-3), ("int8", 0.1)])
def test_rows_of_a_picture_are_torchs(precision: str, allowed: float, source: Path, tmp_path: Path) -> None:
    made = run(GgufJob(str(source), recipe("q8_0"), output=tmp_path / "out", vision_precision=precision))
    kind = {"fp32": "F32", "fp16": "F16", "int8": "Q8_0"}[precision]
    files = [f"mmproj-tiny-v-{kind}.gguf", "tiny-v-Q8_0.gguf"]
    assert sorted(made.manifest.outputs) == files
    found = rows_of(tmp_path / "out" / files[1], tmp_path / "out" / files[0], picture())
    expected = expected_rows(source, picture())
    assert found.shape == expected.shape
    assert error(found, expected) < allowed
    assert {entry.file for entry in made.manifest.tensors} == {None, files[0]}
    assert any("resizes pictures itself" in note for note in made.manifest.notes)


def test_every_tensor_of_the_half_is_there_and_the_size_is_as_planned(source: Path, tmp_path: Path) -> None:
    job = GgufJob(str(source), recipe("q4_k_m"), output=tmp_path / "out")
    planned = plan(job)
    made = run(job)
    assert planned.output_bytes == sum(file.size for file in made.manifest.outputs.values())
    file = open_gguf(tmp_path / "out/mmproj-tiny-v-F16.gguf")
    checkpoint = open_checkpoint(source)
    vision = families.vision(checkpoint.config, checkpoint.names, decoder(checkpoint.config))
    assert vision is not None
    assert len(file.tensors) == len(vision.tensors())
    assert file.keys["clip.projector_type"] == "adapter"
    assert file.keys["general.type"] == "mmproj"
    assert {t.type for t in file.tensors.values()} == {"f16", "f32"}
    conv = np.asarray(checkpoint.tensor(f"{glm_edge_v.ADAPTER}conv.weight"))
    assert file.tensors["adapter.conv.weight"].shape == conv.shape


def test_the_language_half_alone_and_a_file_of_the_users_name(source: Path, tmp_path: Path) -> None:
    alone = run(GgufJob(str(source), recipe("q8_0"), output=tmp_path / "alone", vision_precision="none"))
    assert sorted(alone.manifest.outputs) == ["tiny-v-Q8_0.gguf"]
    assert any("language model" in note for note in alone.manifest.notes)
    named = run(GgufJob(str(source), recipe("q8_0"), output=tmp_path / "x.gguf"))
    assert sorted(named.manifest.outputs) == ["mmproj-x.gguf", "x.gguf"]
    assert {path.name for path in tmp_path.iterdir()} >= {"x.gguf", "mmproj-x.gguf", "x.edgeconv.json"}


def test_matrices_that_the_loader_takes_for_exchanged(tmp_path: Path) -> None:
    source = tiny_v.make_glm_edge_v(tmp_path / "square", vision={"intermediate_size": 32})
    run(GgufJob(str(source), recipe("f32"), output=tmp_path / "out", vision_precision="fp32"))
    found = rows_of(tmp_path / "out/square-F32.gguf", tmp_path / "out/mmproj-square-F32.gguf", picture())
    expected = expected_rows(source, picture())
    assert error(found, expected) < DEVIATION


def test_refusals(source: Path, builtin_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no meaning for a text model"):
        plan(GgufJob(str(builtin_model), recipe("q8_0"), vision_precision="fp16"))
    with pytest.raises(UsageError, match="cannot be stored as int4"):
        plan(GgufJob(str(source), recipe("q8_0"), vision_precision="int4"))
    other = tiny_v.make_glm_edge_v(tmp_path / "relu", vision={"hidden_act": "gelu"})
    with pytest.raises(CheckpointError, match="tanh form"):
        plan(GgufJob(str(other), recipe("q8_0")))

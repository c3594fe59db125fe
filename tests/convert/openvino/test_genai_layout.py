"""`--layout genai` in stock openvino_genai.VLMPipeline, against torch on the checkpoint."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert.conversion import Job, plan, run
from edgeconv.convert.families.glm_edge_v_model import load, load_processor
from edgeconv.convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE, PLACEHOLDER
from edgeconv.convert.families.glm_edge_v_model.pixels import Preprocess
from edgeconv.convert.openvino.genai_layout import BEGIN, END, IMAGE, NOTES, VIDEO, adapted_template, front
from edgeconv.convert.template_file import render
from edgeconv.core.errors import CheckpointError, EdgeconvError, UsageError
from edgeconv.core.manifest import read_manifest
from edgeconv.quantize.scheme import Request

from ...ir import ACCURATE
from ...models.tiny_v import IMAGE as SIDE

QUESTION = "What is this?"
TOKENS = 12
SIZES = {"square": (90, 90), "the tower's": (SIDE, SIDE), "tiny": (9, 9), "wide": (120, 40), "tall": (30, 150)}
EXACT = ("square", "the tower's", "tiny")
CLOSE = 1.0
"""Root of the mean squared difference of pixels of 0 to 255, where a picture is resized twice; stretched it is near 100."""


def picture(name: str) -> Image.Image:
    width, height = SIZES[name]
    random = np.random.default_rng(width)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def source(tiny_vision_model: Callable[..., Path]) -> Path:
    return tiny_vision_model()


@pytest.fixture(scope="module")
def artifact(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(Job(str(source), Request("fp32"), output=tmp_path_factory.mktemp("g") / "ov", layout="genai")).path


@pytest.fixture(scope="module")
def ask(artifact: Path) -> Callable[..., str]:
    import openvino as ov
    import openvino_genai

    pipe = openvino_genai.VLMPipeline(artifact, "CPU", **ACCURATE)

    def answer(question: str, *images: Image.Image) -> str:
        tensors = [ov.Tensor(np.asarray(image)[None]) for image in images]
        return pipe.generate(question, images=tensors, max_new_tokens=TOKENS, do_sample=False).texts[0]

    return answer


@pytest.fixture(scope="module")
def expect(source: Path) -> Callable[..., str]:
    model, processor = load(source), load_processor(source)

    def answer(question: str, *images: Image.Image, between: str = "") -> str:
        parts = [{"type": "image"}] * len(images) + [{"type": "text", "text": question}]
        prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        run_ = PLACEHOLDER * processor.image_tokens
        inputs = processor(list(images), prompt.replace(run_ * 2, run_ + between + run_), return_tensors="pt")
        made = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        return processor.tokenizer.decode(made, skip_special_tokens=True)

    return answer


@pytest.mark.parametrize("name", EXACT)
def test_square_pictures_are_answered_as_by_torch(
    name: str, ask: Callable[..., str], expect: Callable[..., str]
) -> None:
    assert ask(QUESTION, picture(name)) == expect(QUESTION, picture(name))


@pytest.mark.parametrize("name", SIZES)
def test_any_picture_that_is_fitted_before_is_answered_as_by_torch(
    name: str, artifact: Path, ask: Callable[..., str], expect: Callable[..., str]
) -> None:
    """The artifact's own preprocessor_config.json still says how."""
    fitted = Image.fromarray(Preprocess.from_folder(artifact).canvas(picture(name)))
    assert ask(QUESTION, fitted) == expect(QUESTION, picture(name))


def scene(width: int, height: int) -> Image.Image:
    """Waves and a disc: smooth, as photographs are."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    disc = 0.1 + 0.8 * ((x - 0.4) ** 2 + (y - 0.2) ** 2 < 0.02)
    channels = 0.5 + 0.5 * np.sin(9 * x + 5 * y), disc, 0.5 + 0.5 * np.cos(17 * y)
    return Image.fromarray((255 * np.stack(channels, -1)).astype(np.uint8))


def as_the_pipeline_does(picture: Image.Image, side: int) -> tuple[np.ndarray, np.ndarray]:
    """`get_aspect_ratio_preserving_size` and `extract_patches` of Gemma 4, patches of one pixel: values and their places."""
    count = side**2 + 1
    factor = (count / (picture.width * picture.height)) ** 0.5
    width, height = int(factor * picture.width), int(factor * picture.height)
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
    values, places = np.zeros((1, count, 3), np.float32), np.full((1, count, 2), -1, np.int64)
    values[0, : width * height] = resized.reshape(-1, 3)
    places[0, : width * height] = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
    return values, places


SHAPES = [(90, 90), (1200, 400), (300, 1500), (12, 7), (640, 480), (900, 30), (5, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pixels_are_close_and_those_of_squares_exact(shape: tuple[int, int], source: Path) -> None:
    import openvino as ov

    rule = Preprocess.from_folder(source)
    compiled = ov.Core().compile_model(front(rule), "CPU", ACCURATE)
    found = compiled(as_the_pipeline_does(scene(*shape), rule.size))[0][0]
    difference = (found - rule([scene(*shape)])[0]) * 255 * rule.std[0]
    assert np.sqrt((difference**2).mean()) < (1e-3 if shape[0] == shape[1] else CLOSE)


def test_text_only_and_two_pictures(ask: Callable[..., str], expect: Callable[..., str]) -> None:
    assert ask(QUESTION) == expect(QUESTION)
    both = picture("square"), picture("tiny")
    assert ask(QUESTION, *both) == expect(QUESTION, *both, between="\n")


def test_the_language_half_is_that_of_the_default_layout(artifact: Path, source: Path, tmp_path: Path) -> None:
    other = run(Job(str(source), Request("fp32"), output=tmp_path / "ov")).path
    for name in ("openvino_language_model", "openvino_text_embeddings_model"):
        for path in other.glob(f"{name}.*"):
            assert path.read_bytes() == (artifact / path.name).read_bytes(), path.name
    manifest = read_manifest(artifact)
    assert set(NOTES) <= set(manifest.notes)
    assert not set(NOTES) & set(read_manifest(other).notes)
    for name, digest in manifest.outputs.items():
        assert hashlib.sha256((artifact / name).read_bytes()).hexdigest() == digest.sha256, name


def test_the_plan_says_what_is_different(source: Path) -> None:
    job = Job(str(source), Request("int8"), layout="genai")
    assert [value for label, value in plan(job).rows() if label == "note"][-len(NOTES) :] == list(NOTES)


def test_the_tokens_keep_their_ids_everywhere(artifact: Path, source: Path) -> None:
    from transformers import AutoTokenizer

    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (source, artifact))
    for new, old in ((IMAGE, PLACEHOLDER), (VIDEO, "<|end_of_image|>")):
        assert after.convert_tokens_to_ids(new) == before.convert_tokens_to_ids(old)
    assert len(after) == len(before)
    texts = [path.read_text("utf-8") for path in artifact.glob("*.json") if path.name != "edgeconv.json"]
    assert not any(PLACEHOLDER in text for text in texts)


TEXT = CHAT_TEMPLATE.format(image_tokens=3)
PICTURE = f"{BEGIN}{IMAGE}{IMAGE}{END}"
CONTENTS = {
    "Hi": "Hi",
    f"{PICTURE}Hi": f"{IMAGE}{IMAGE}Hi",
    f"{PICTURE}\nHi\n": f"{IMAGE}{IMAGE}\nHi\n",
    f"{PICTURE}{PICTURE}Hi": f"{IMAGE}{IMAGE}\n{IMAGE}{IMAGE}Hi",
    f"a\n{PICTURE}b": f"a\n{IMAGE}{IMAGE}b",
}


@pytest.mark.parametrize("content", CONTENTS)
def test_only_what_the_pipeline_writes_goes(content: str, artifact: Path) -> None:
    import openvino_genai

    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
    expected = f"<|user|>\n{CONTENTS[content]}<|assistant|>\nx<|assistant|>\n"
    assert render(adapted_template(TEXT), messages) == expected
    tokenizer = openvino_genai.Tokenizer(artifact)
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True) == expected


def changed(source: Path, folder: Path, file: str, change: dict[str, Any]) -> Path:
    shutil.copytree(source, folder)
    stated = json.loads((folder / file).read_text("utf-8"))
    (folder / file).write_text(json.dumps(stated | change), "utf-8")
    return folder


@pytest.mark.parametrize("change", [{"resample": 2}, {"rescale_factor": 1 / 127.5}])
def test_another_preparation_is_refused(change: dict[str, Any], source: Path, tmp_path: Path) -> None:
    odd = changed(source, tmp_path / "m", "preprocessor_config.json", change)
    with pytest.raises(CheckpointError, match="resizes bicubically"):
        plan(Job(str(odd), Request("int8"), layout="genai"))


def test_a_token_of_that_name_is_refused(source: Path, tmp_path: Path) -> None:
    added = json.loads((source / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    odd = changed(source, tmp_path / "m", "tokenizer.json", {"added_tokens": [*added, {"id": 7, "content": IMAGE}]})
    with pytest.raises(CheckpointError, match="already"):
        plan(Job(str(odd), Request("int8"), layout="genai"))


def test_no_template_is_refused(source: Path, tmp_path: Path) -> None:
    odd = changed(source, tmp_path / "m", "tokenizer_config.json", {"chat_template": None})
    with pytest.raises(CheckpointError, match="no chat template"):
        plan(Job(str(odd), Request("int8"), layout="genai"))


def test_wrong_uses_are_refused(builtin_model: Path, source: Path) -> None:
    with pytest.raises(UsageError, match="takes for another"):
        plan(Job(str(builtin_model), Request("int8"), layout="genai"))
    with pytest.raises(UsageError, match="Unknown layout"):
        plan(Job(str(source), Request("int8"), layout="llava"))


def test_our_own_chat_says_who_runs_it(artifact: Path) -> None:
    from edgeconv.runtimes.openvino_vision_chat import VisionChat

    with pytest.raises(EdgeconvError) as error:
        VisionChat(artifact)
    assert "VLMPipeline" in (error.value.hint or "")

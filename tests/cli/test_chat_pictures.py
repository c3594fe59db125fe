"""`edgeconv chat` about pictures with real artifacts of families of tiles, and of positions of several axes."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..models import tiny_vlm
from ..runtimes.vision_models import Torch
from .conftest import Command


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A wide one, and one on its side, as cameras write it."""
    folder = tmp_path_factory.mktemp("pictures")
    made = [np.random.default_rng(seed).integers(0, 256, (60, 130, 3), np.uint8) for seed in range(2)]
    sideways = Image.Exif()
    sideways[0x0112] = 6
    Image.fromarray(made[0]).save(folder / "a.png")
    Image.fromarray(made[1]).save(folder / "b.png", exif=sideways)
    return [folder / "a.png", folder / "b.png"]


@pytest.mark.parametrize(("verb", "kind"), [("openvino", "smolvlm"), ("onnx", "qwen2_5_vl")])
def test_two_at_once_and_one_later(
    verb: str,
    kind: str,
    pictures: list[Path],
    edgeconv: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers.image_utils import load_image

    model, out = tiny_vlm.make(kind, tmp_path / "model", dtype="float32"), tmp_path / "out"
    assert edgeconv(verb, "-m", model, "-o", out, "-p", "fp32").code == 0
    lines = f"Compare.\n/image '{pictures[1]}'\nAnd this?\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    options = ("--temperature", "0", "--max-new-tokens", "6", "--json")
    result = edgeconv("chat", out, "--image", pictures[0], "--image", pictures[1], *options)
    assert result.code == 0, result.err
    first, second = map(json.loads, result.out.splitlines())
    assert (first["images"], second["images"]) == ([str(one) for one in pictures], [str(pictures[1])])
    torch = Torch(model)
    a, b = (load_image(str(one)) for one in pictures)
    assert b.size == (60, 130)
    turns = [("user", "Compare.", a, b)]
    for answer, question in ((first, ("assistant", first["text"])), (second, None)):
        ids, made, _ = torch.answer(*turns)
        assert answer["prompt_tokens"] == len(ids)
        if verb == "onnx":  # OpenVINO's defaults round otherwise
            assert answer["text"] == torch.processor.tokenizer.decode(made, skip_special_tokens=True).rstrip("\ufffd")
        if question:
            turns += [question, ("user", "And this?", b)]


def test_what_stands_for_pictures_in_a_question_is_refused(
    pictures: list[Path], edgeconv: Command, tmp_path: Path
) -> None:
    model, out = tiny_vlm.make("qwen2_5_vl", tmp_path / "model"), tmp_path / "out"
    assert edgeconv("openvino", "-m", model, "-o", out, "-p", "int8").code == 0
    result = edgeconv("chat", out, "--image", pictures[0], "--prompt", "What is <|image_pad|>?")
    assert result.code == 2
    assert "2 tokens that stand for pictures" in result.err


def test_an_unknown_type_is_refused(edgeconv: Command, tmp_path: Path) -> None:
    model, out = tiny_vlm.make("gemma3", tmp_path / "model"), tmp_path / "out"
    assert edgeconv("openvino", "-m", model, "-o", out, "-p", "int8").code == 0
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"model_type": "paligemma"}))
    result = edgeconv("chat", out, "--prompt", "Hello")
    assert result.code == 1
    assert "of type paligemma, of which edgeconv does not know how it sees" in " ".join(result.err.split())

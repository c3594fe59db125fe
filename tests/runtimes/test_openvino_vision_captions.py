"""The trained built-in model, converted as a user would: what it says of a picture must be right."""

import json
from pathlib import Path

import pytest
from PIL import Image

from edgeconv import builtin
from edgeconv.builtin import pictures
from edgeconv.cli import main
from edgeconv.convert import conversion
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.openvino_vision_chat import VisionChat

pytestmark = pytest.mark.slow
PER_FORM = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "int4"
    model = str(builtin.vision_model_path())
    return conversion.run(conversion.Job(model=model, request=Request("int4"), output=output), Silent()).path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> VisionChat:
    return VisionChat(folder, sampling=Sampling(max_new_tokens=40, temperature=0))


@pytest.fixture
def chat(loaded: VisionChat) -> VisionChat:
    loaded.reset()
    return loaded


def test_captions_are_right(chat: VisionChat) -> None:
    samples, wrong = pictures.samples(PER_FORM), []
    for sample in samples:
        chat.reset()
        answer = chat.reply(sample.question, [sample.picture])
        if (answer.text, answer.finish) != (sample.answer, "stop"):
            wrong.append((sample.name, answer.text, sample.answer))
    assert len(wrong) <= 0.05 * len(samples), wrong


def test_a_second_question_is_about_the_same_picture(chat: VisionChat) -> None:
    """The second prompt is read on from the cache: the tower has seen the picture once."""
    right, samples = 0, [one for one in pictures.samples(PER_FORM) if one.question == pictures.DESCRIBE[0][0]]
    for sample in samples:
        chat.reset()
        chat.reply(sample.question, [sample.picture])
        right += chat.reply(pictures.DESCRIBE[0][0]).text == sample.answer
    assert right >= 0.9 * len(samples)


def test_without_a_picture_it_is_the_language_model(chat: VisionChat) -> None:
    assert "东京" in chat.reply("日本的首都是哪里？").text
    chat.reset()
    assert "Rome" in chat.reply("What is the capital of Italy?").text


def test_from_the_command_line(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sample = next(one for one in pictures.samples(1) if one.kind == "sideways")
    photo = tmp_path / "photo.png"
    sample.picture.save(photo, exif=sample.picture.getexif())
    assert Image.open(photo).size == sample.picture.size
    arguments = ["chat", str(folder), "--image", str(photo), "--prompt", sample.question, "--temperature", "0"]
    assert main.run(arguments) == 0
    assert capfd.readouterr().out == sample.answer + "\n"
    assert main.run([*arguments, "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["text"], said["images"]) == (sample.answer, [str(photo)])

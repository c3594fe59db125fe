"""The chat against torch, which reads every prompt from its beginning, and its behavior as a conversation."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert.families.glm_edge_v_model import load, load_processor
from edgeconv.convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE
from edgeconv.core.errors import ArtifactError, CheckpointError, UsageError
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.irs import takes_images
from edgeconv.runtimes.openvino_vision_chat import VisionChat

EXACT = {"EXECUTION_MODE_HINT": "ACCURACY"}
GREEDY = Sampling(max_new_tokens=16, temperature=0)


def photo(seed: int, width: int = 80, height: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


class Torch:
    """transformers' own `generate`, greedy."""

    def __init__(self, folder: Path) -> None:
        self.model, self.processor = load(folder, attn_implementation="eager"), load_processor(folder)

    def answer(self, messages: list[dict[str, Any]], images: Sequence[Image.Image], **options: Any) -> str:
        prompt = self.processor.apply_chat_template(messages, add_generation_prompt=True)
        inputs = self.processor(images=list(images) or None, text=prompt, return_tensors="pt")
        made = self.model.generate(**inputs, do_sample=False, max_new_tokens=16, **options)
        text: str = self.processor.tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return text.rstrip("\ufffd")


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> Torch:
    return Torch(checkpoint)


@pytest.fixture(scope="module")
def loaded(artifact: Path) -> VisionChat:
    return VisionChat(artifact, sampling=GREEDY, properties=EXACT)


@pytest.fixture
def chat(loaded: VisionChat) -> VisionChat:
    loaded.reset()
    return loaded


def endless(artifact: Path, **options: Any) -> VisionChat:
    """A chat whose answers have no end."""
    chat = VisionChat(artifact, sampling=Sampling(**{"max_new_tokens": 100_000, "temperature": 0} | options))
    chat.rules.stop_token_ids, chat.limit = frozenset(), 10**9
    return chat


def test_a_conversation_says_what_torch_says(chat: VisionChat, reference: Torch) -> None:
    turns: list[tuple[str, list[Image.Image]]] = [
        ("Hello", []),
        ("这是什么？", [photo(1)]),
        ("Which of these?", [photo(2, 200, 30), photo(3, 9, 90).convert("L")]),
        ("And now?", []),
    ]
    shown: list[Image.Image] = []
    for question, images in turns:
        answer = chat.reply(question, images)
        shown += images
        assert chat.messages[-1] == {"role": "assistant", "content": [{"type": "text", "text": answer.text}]}
        assert answer.text == reference.answer(chat.messages[:-1], shown)
        assert len(answer.text) > 10


def test_the_repetition_penalty_is_that_of_transformers(artifact: Path, reference: Torch) -> None:
    sampling = Sampling(max_new_tokens=16, temperature=0, repetition_penalty=1.4)
    chat = VisionChat(artifact, sampling=sampling, properties=EXACT)
    answer = chat.reply("What is it?", [photo(4)])
    assert answer.text == reference.answer(chat.messages[:-1], [photo(4)], repetition_penalty=1.4)
    assert answer.text != reference.answer(chat.messages[:-1], [photo(4)])


def test_a_file_is_taken_as_the_picture_in_it(chat: VisionChat, tmp_path: Path) -> None:
    photo(5).save(tmp_path / "it.png")
    from_file = chat.reply("What is it?", [tmp_path / "it.png"]).text
    chat.reset()
    assert chat.reply("What is it?", [photo(5)]).text == from_file
    chat.reset()
    assert chat.reply("What is it?", [photo(6)]).text != from_file


def test_the_pieces_are_the_answer(chat: VisionChat) -> None:
    with chat.ask("Hello", [photo(1)]) as generation:
        pieces = list(generation)
        answer = generation.answer()
    assert "".join(pieces) == answer.text
    assert len(pieces) > 1
    assert (answer.finish, answer.tokens) == ("length", 16)
    assert answer.prompt_tokens > 6
    assert answer.seconds_to_first > 0
    assert answer.tokens_per_second > 0


def test_a_token_of_the_end_ends_it(artifact: Path) -> None:
    chat = VisionChat(artifact, sampling=GREEDY, properties=EXACT)
    whole = chat.reply("Hello")
    end = chat.prompter.encode(whole.text)[-1]
    chat.rules.stop_token_ids = frozenset({end})
    chat.reset()
    cut = chat.reply("Hello")
    assert cut.finish == "stop"
    assert whole.text.startswith(cut.text)
    assert cut.text != whole.text


def test_a_question_without_pictures_never_runs_the_tower(artifact: Path) -> None:
    chat = VisionChat(artifact, sampling=GREEDY)
    chat.reply("Hello")
    assert chat.model._tower is None


def test_a_seed_repeats_and_another_does_not(artifact: Path) -> None:
    def texts(seed: int) -> list[str]:
        chat = VisionChat(artifact, sampling=Sampling(max_new_tokens=12, temperature=2.0, seed=seed))
        first = [chat.reply("Hello").text, chat.reply("And?").text]
        chat.reset()
        assert [chat.reply("Hello").text, chat.reply("And?").text] == first
        return first

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_an_answer_can_be_stopped_and_the_conversation_goes_on(artifact: Path) -> None:
    chat = endless(artifact)
    with chat.ask("Hello", [photo(1)]) as generation:
        pieces = iter(generation)
        text = next(pieces)
        generation.cancel()
        text += "".join(pieces)
        answer = generation.answer()
    assert answer.finish == "interrupted"
    assert 0 < answer.tokens < 1000
    assert answer.text == text
    assert chat.messages[-1]["content"] == [{"type": "text", "text": text}]
    chat.rules.max_new_tokens = 3
    assert chat.reply("And?").finish == "length"


def test_leaving_early_stops_the_generation_and_forgets_the_question(artifact: Path) -> None:
    chat = endless(artifact)
    generation = chat.ask("Hello", [photo(1)])
    with pytest.raises(KeyboardInterrupt), generation:
        next(iter(generation))
        raise KeyboardInterrupt
    assert not generation._thread.is_alive()
    assert chat.messages == []
    chat.rules.max_new_tokens = 3
    assert chat.reply("And?", [photo(2)]).tokens == 3


def test_a_failure_in_the_runtime_is_an_error_and_the_question_is_forgotten(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = chat.reply("Hello", [photo(1)])

    def fail(token: int) -> None:
        raise RuntimeError("Exception from src/x.cpp:1:\nThe cache is full.\n")

    with monkeypatch.context() as patched, pytest.raises(ArtifactError, match=r"failed: The cache is full\.$"):
        patched.setattr(chat.model, "step", fail)
        chat.reply("And?", [photo(2)])
    assert len(chat.messages) == 2
    chat.reply("And?")
    chat.reset()
    assert chat.reply("Hello", [photo(1)]).text == first.text


@pytest.mark.parametrize("question", ["<|begin_of_image|>", "x" + "<|begin_of_image|>" * 6])
def test_placeholders_in_a_question_are_refused(chat: VisionChat, question: str) -> None:
    with pytest.raises(UsageError, match="placeholders"):
        chat.ask(question)
    assert chat.messages == []


def test_a_conversation_too_long_for_the_model(chat: VisionChat) -> None:
    with pytest.raises(UsageError, match="the model reads 512") as caught:
        chat.ask("word " * 600)
    assert "/reset" in str(caught.value.hint)
    assert chat.messages == []
    words = "one two " * 250
    answer = chat.reply(words)
    assert (answer.prompt_tokens + answer.tokens, answer.finish) == (512, "length")


def test_missing_and_broken_pictures(chat: VisionChat, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name, words in {"none.png": "no picture", "broken.png": "not a picture"}.items():
        with pytest.raises(UsageError, match=words):
            chat.ask("What is it?", [tmp_path / name])
    assert chat.messages == []


def test_a_template_that_drops_system_messages(artifact: Path) -> None:
    with pytest.raises(UsageError, match="leaves system messages out"):
        VisionChat(artifact, system="Be brief.")


def copy(artifact: Path, folder: Path, without: str = "", **config: Any) -> Path:
    shutil.copytree(artifact, folder, ignore=shutil.ignore_patterns(*[without] if without else []))
    stated = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(stated | config), "utf-8")
    return folder


def test_a_template_that_takes_system_messages(artifact: Path, tmp_path: Path) -> None:
    folder = copy(artifact, tmp_path / "with")
    template = CHAT_TEMPLATE.format(image_tokens=6).replace("item['role'] != 'system'", "true")
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    chat = VisionChat(folder, system="Be brief.", sampling=GREEDY)
    brief = chat.reply("Hello").text
    assert [message["role"] for message in chat.messages] == ["system", "user", "assistant"]
    chat.reset()
    assert [message["role"] for message in chat.messages] == ["system"]
    assert VisionChat(folder, sampling=GREEDY).reply("Hello").text != brief


@pytest.mark.parametrize("name", ["openvino_vision_embeddings_model.bin", "tokenizer.json", "preprocessor_config.json"])
def test_a_folder_that_is_not_whole(artifact: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=f"not a whole vision model: {name} missing"):
        VisionChat(copy(artifact, tmp_path / "part", without=name))


def test_another_vision_model(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="of type paligemma") as caught:
        VisionChat(copy(artifact, tmp_path / "other", model_type="paligemma"))
    assert "VLMPipeline" in str(caught.value.hint)


def test_a_damaged_preprocessor_config(artifact: Path, tmp_path: Path) -> None:
    folder = copy(artifact, tmp_path / "bad")
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        VisionChat(folder)


def test_a_device_that_is_not_there(artifact: Path) -> None:
    with pytest.raises(UsageError, match="no device TPU"):
        VisionChat(artifact, device="TPU")


def test_which_folders_see(artifact: Path, builtin_model: Path) -> None:
    assert takes_images(artifact)
    assert not takes_images(builtin_model)

"""ONNX models in conversation: the cache against whole prompts, the words against the other runtimes."""

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert import conversion
from edgeconv.core.errors import ArtifactError, CheckpointError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes import onnx_session
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.cached import StoppedError
from edgeconv.runtimes.decoder import read_on
from edgeconv.runtimes.onnx_chat import CachedOnnx, OnnxChat
from edgeconv.runtimes.onnxruntime import OnnxRuntime
from edgeconv.runtimes.openvino_genai import Chat
from edgeconv.runtimes.openvino_vision_chat import VisionChat

EXACT = {"EXECUTION_MODE_HINT": "ACCURACY"}
GREEDY = Sampling(max_new_tokens=24, temperature=0)
QUESTIONS = ("日本的首都是哪里？", "What is 4 + 3?", "And the capital of Italy?")
GO = threading.Event()


class Watched(CachedOnnx):
    """Counts the positions that the language model reads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[int] = []

    def _forward(self, given: Any, new: Any, stop: Any, layout: Any = None) -> Any:
        self.read.append(len(new))
        return super()._forward(given, new, stop, layout)


@pytest.fixture(scope="module")
def model(onnx_artifact: Path) -> Watched:
    return Watched(onnx_artifact)


@pytest.fixture
def watched(model: Watched) -> Watched:
    model.clear()
    model.read.clear()
    return model


@pytest.fixture(scope="module")
def fresh(onnx_artifact: Path) -> OnnxRuntime:
    """It reads every prompt from its beginning."""
    return OnnxRuntime(onnx_artifact, accurate=False)


@pytest.fixture(scope="module")
def loaded(onnx_artifact: Path) -> OnnxChat:
    return OnnxChat(onnx_artifact, sampling=GREEDY)


@pytest.fixture
def chat(loaded: OnnxChat) -> OnnxChat:
    loaded.reset()
    return loaded


def words(seed: int, count: int = 9) -> list[int]:
    return np.random.default_rng(seed).integers(5, 4000, count).tolist()


def require_fresh(found: np.ndarray, fresh: OnnxRuntime, ids: Sequence[int]) -> None:
    np.testing.assert_allclose(found, next(fresh.logits(ids))[-1], atol=1e-4)


def test_a_prompt_that_grows_is_read_on_and_what_differs_again(watched: Watched, fresh: OnnxRuntime) -> None:
    ids = words(1)
    require_fresh(watched.prefill(ids, [], GO), fresh, ids)
    require_fresh(watched.step(77), fresh, [*ids, 77])
    longer = [*ids, 77, *words(2)]
    require_fresh(watched.prefill(longer, [], GO), fresh, longer)
    other = [*longer[:12], 1, *words(3, 5)]
    require_fresh(watched.prefill(other, [], GO), fresh, other)
    shorter = other[:7]
    require_fresh(watched.prefill(shorter, [], GO), fresh, shorter)
    unlike = [1, *words(4)]
    require_fresh(watched.prefill(unlike, [], GO), fresh, unlike)
    assert watched.read == [9, 1, 9, 6, 1, 10]


@pytest.mark.parametrize("folder", ["onnx_artifact", "converted_onnx", "vision_onnx_artifact"])
def test_only_the_last_position_gets_logits(folder: str, request: pytest.FixtureRequest) -> None:
    decoder = CachedOnnx(request.getfixturevalue(folder))._decoder
    assert read_on(decoder, decoder.embed(np.array([words(1)])), 0).shape == (1, 4096)


def test_a_stop_before_it_begins_and_midway(watched: Watched, fresh: OnnxRuntime) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    with pytest.raises(StoppedError):
        watched.prefill([*words(1), *words(5, 6000)], [], stop)  # many seconds, if nobody stops it
    with pytest.raises(StoppedError):
        watched.prefill(words(1), [], stop)
    require_fresh(watched.prefill(words(1), [], GO), fresh, words(1))


def test_a_conversation_says_what_openvino_says(chat: OnnxChat, builtin_model: Path, tmp_path: Path) -> None:
    job = conversion.Job(model=str(builtin_model), request=Request("fp32"), output=tmp_path / "ov")
    other = Chat(conversion.run(job, Silent()).path, sampling=GREEDY, properties=EXACT)
    for question in QUESTIONS:
        ours, theirs = chat.reply(question), other.reply(question)
        assert (ours.text, ours.finish, ours.prompt_tokens) == (theirs.text, theirs.finish, theirs.prompt_tokens)
    assert chat.messages == other.messages
    assert "东京" in chat.messages[1]["content"]


def test_a_turn_reads_on_and_a_reset_forgets(chat: OnnxChat, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    infer = chat.model._infer
    monkeypatch.setattr(chat.model, "_infer", lambda given, *rest: read.append(given.shape[1]) or infer(given, *rest))
    first = chat.reply(QUESTIONS[0])
    assert read == [first.prompt_tokens, *[1] * (first.tokens - 1)]
    read.clear()
    second = chat.reply(QUESTIONS[0])
    assert second.prompt_tokens > first.prompt_tokens + first.tokens
    assert read[0] <= first.prompt_tokens + 1  # the stop was never read, nor the question behind it
    chat.reset()
    again = chat.reply(QUESTIONS[0])
    assert (again.text, again.prompt_tokens) == (first.text, first.prompt_tokens)


def test_pictures_are_described_as_in_openvino(vision_onnx_artifact: Path, artifact: Path) -> None:
    ours = OnnxChat(vision_onnx_artifact, sampling=GREEDY)
    theirs = VisionChat(artifact, sampling=GREEDY, properties=EXACT)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8))
    answers = [[one.reply("Hello").text, one.reply("What is it?", [picture]).text, one.reply("And?").text]
               for one in (ours, theirs)]  # fmt: skip
    assert answers[0] == answers[1]
    assert len(answers[0][1]) > 10
    assert ours.model._cached[-1] != theirs.model._placeholder
    with pytest.raises(UsageError, match="no picture none"):
        ours.ask("And?", [Path("none.png")])


def test_an_answer_can_be_stopped_and_the_conversation_goes_on(onnx_artifact: Path) -> None:
    chat = OnnxChat(onnx_artifact, sampling=Sampling(max_new_tokens=100_000, temperature=0))
    stops, chat.rules.stop_token_ids = chat.rules.stop_token_ids, frozenset()
    with chat.ask(QUESTIONS[1]) as generation:
        pieces = iter(generation)
        text = next(pieces)
        generation.cancel()
        text += "".join(pieces)
        answer = generation.answer()
    assert (answer.finish, answer.text) == ("interrupted", text)
    assert 0 < answer.tokens < 1000
    assert chat.messages[-1] == {"role": "assistant", "content": text}
    with pytest.raises(KeyboardInterrupt), chat.ask("x") as generation:
        next(iter(generation))
        raise KeyboardInterrupt
    assert len(chat.messages) == 2
    chat.rules.stop_token_ids = stops
    assert chat.reply(QUESTIONS[1]).finish == "stop"


def test_a_text_model_takes_no_pictures_and_heeds_a_system_message(onnx_artifact: Path, chat: OnnxChat) -> None:
    with pytest.raises(UsageError, match="takes no pictures"):
        chat.ask("What is it?", [Image.new("RGB", (8, 8))])
    briefed = OnnxChat(onnx_artifact, sampling=GREEDY, system="Answer briefly.")
    assert briefed.reply(QUESTIONS[1]).prompt_tokens > chat.reply(QUESTIONS[1]).prompt_tokens
    assert briefed.messages[0] == {"role": "system", "content": "Answer briefly."}


def test_a_conversation_too_long_for_the_model(chat: OnnxChat) -> None:
    with pytest.raises(UsageError, match="the model reads 8192") as caught:
        chat.ask("一" * 9000)
    assert "/reset" in str(caught.value.hint)
    assert chat.messages == []


def test_another_device_and_a_package_that_is_missing(onnx_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cannot run on GPU") as caught:
        OnnxChat(onnx_artifact, device="GPU")
    assert "CPU" in str(caught.value.hint)
    monkeypatch.setattr(onnx_session, "NAME", "no_onnxruntime_here")
    with pytest.raises(UsageError, match="no_onnxruntime_here is not installed") as caught:
        OnnxChat(onnx_artifact)
    assert "edgeconv[onnx]" in str(caught.value.hint)


def copy(artifact: Path, folder: Path, without: str = "", **config: Any) -> Path:
    shutil.copytree(artifact, folder, ignore=shutil.ignore_patterns(*[without] if without else []))
    stated = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(stated | config), "utf-8")
    return folder


@pytest.mark.parametrize("name", ["vision_encoder.onnx", "embed_tokens.onnx", "decoder_model_merged.onnx"])
def test_a_model_that_sees_and_is_not_whole(vision_onnx_artifact: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=f": {name} missing"):
        OnnxChat(copy(vision_onnx_artifact, tmp_path / "part", without=name))


def test_configs_of_another_model(vision_onnx_artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="of type paligemma"):
        OnnxChat(copy(vision_onnx_artifact, tmp_path / "other", model_type="paligemma"))
    with pytest.raises(CheckpointError, match=r"patch_size is 0, not a positive whole number"):
        OnnxChat(copy(vision_onnx_artifact, tmp_path / "blind", vision_config={"image_size": 56, "patch_size": 0}))
    with pytest.raises(ArtifactError, match=r"preprocessor_config\.json"):
        OnnxChat(copy(vision_onnx_artifact, tmp_path / "bare", without="preprocessor_config.json"))

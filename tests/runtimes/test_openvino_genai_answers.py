"""The runtime on the built-in model, converted."""

import shutil
from pathlib import Path

import pytest

from edgeconv.core.errors import ArtifactError, UsageError
from edgeconv.runtimes.openvino_genai import Chat, Sampling

pytestmark = pytest.mark.slow
GREEDY = Sampling(max_new_tokens=64, temperature=0)


@pytest.fixture(scope="module")
def loaded(converted: Path) -> Chat:
    return Chat(converted, sampling=GREEDY)


@pytest.fixture
def chat(loaded: Chat) -> Chat:
    loaded.reset()
    return loaded


@pytest.mark.parametrize(
    ("question", "word"),
    [("日本的首都是哪里？", "东京"), ("What is 4 + 3?", "7"), ("What is the capital of Italy?", "Rome")],
)
def test_answers(chat: Chat, question: str, word: str) -> None:
    answer = chat.reply(question)
    assert word in answer.text
    assert answer.finish == "stop"
    assert 0 < answer.tokens < 64
    assert answer.prompt_tokens > 0
    assert answer.tokens_per_second > 0


def test_the_pieces_are_the_answer(chat: Chat) -> None:
    with chat.ask("法国的首都是哪里？") as generation:
        pieces = list(generation)
        answer = generation.answer()
    assert len(pieces) > 1
    assert "".join(pieces) == answer.text
    assert "\ufffd" not in answer.text


def test_the_conversation_goes_on_until_it_is_reset(converted: Path) -> None:
    chat = Chat(converted, system="Answer briefly.", sampling=GREEDY)
    first, second = chat.reply("What is 4 + 3?"), chat.reply("What is 2 + 2?")
    assert [message["role"] for message in chat.messages] == ["system", *["user", "assistant"] * 2]
    assert chat.messages[2]["content"] == first.text
    assert second.prompt_tokens > first.prompt_tokens
    chat.reset()
    assert chat.messages == [{"role": "system", "content": "Answer briefly."}]
    assert chat.reply("What is 4 + 3?").text == first.text


def test_the_length_is_bounded(converted: Path) -> None:
    answer = Chat(converted, sampling=Sampling(max_new_tokens=3, temperature=0)).reply("What is 4 + 3?")
    assert (answer.tokens, answer.finish) == (3, "length")


def test_a_seed_repeats_and_another_does_not(converted: Path) -> None:
    def text(seed: int) -> str:
        sampling = Sampling(max_new_tokens=24, temperature=3.0, seed=seed)
        return Chat(converted, sampling=sampling).reply("What is 4 + 3?").text

    assert text(1) == text(1)
    assert len({text(seed) for seed in (1, 2, 3)}) > 1


def test_an_answer_can_be_stopped_and_the_conversation_goes_on(converted: Path) -> None:
    chat = Chat(converted, sampling=Sampling(max_new_tokens=100_000, temperature=0))
    chat._config.ignore_eos = True
    with chat.ask("What is 4 + 3?") as generation:
        pieces = iter(generation)
        text = next(pieces)
        generation.cancel()
        text += "".join(pieces)
        answer = generation.answer()
    assert answer.finish == "interrupted"
    assert 0 < answer.tokens < 1000
    assert chat.messages[-1] == {"role": "assistant", "content": answer.text}
    assert text == answer.text
    chat._config.ignore_eos = False
    assert chat.reply("What is 4 + 3?").finish == "stop"


def test_leaving_early_stops_the_generation_and_forgets_the_question(converted: Path) -> None:
    chat = Chat(converted, sampling=Sampling(max_new_tokens=100_000, temperature=0))
    chat._config.ignore_eos = True
    generation = chat.ask("What is 4 + 3?")
    with pytest.raises(KeyboardInterrupt), generation:
        next(iter(generation))
        raise KeyboardInterrupt
    assert not generation._thread.is_alive()
    assert chat.messages == []


def test_properties_reach_the_runtime(converted: Path) -> None:
    exact = Chat(converted, sampling=GREEDY, properties={"EXECUTION_MODE_HINT": "ACCURACY"})
    assert "Rome" in exact.reply("What is the capital of Italy?").text
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        Chat(converted, properties={"EXECUTION_MODE_HINT": "MAGIC"})


def test_a_device_that_is_not_there(converted: Path) -> None:
    with pytest.raises(UsageError, match="no device TPU") as caught:
        Chat(converted, device="TPU")
    assert "CPU" in str(caught.value.hint)


def test_a_truncated_graph(converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted, tmp_path / "bad")
    graph = tmp_path / "bad" / "openvino_model.xml"
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        Chat(tmp_path / "bad")


def test_a_model_without_chat_template(converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink(missing_ok=True)
    for path in (tmp_path / "base").glob("*tokenizer*"):
        if path.suffix in (".xml", ".json"):
            path.write_text(path.read_text("utf-8").replace("chat_template", "not_a_template"), "utf-8")
    with pytest.raises(ArtifactError, match="no chat template"):
        Chat(tmp_path / "base")

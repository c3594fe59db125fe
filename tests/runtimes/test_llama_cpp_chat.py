"""The chat with a GGUF beside those with the OpenVINO IR of the same weights, and its behavior as a conversation."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeconv import builtin
from edgeconv.builtin import pictures
from edgeconv.convert.conversion import GgufJob, Job, OnnxJob, run
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core import chat_template
from edgeconv.core.errors import ArtifactError, UsageError
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes import llama_cpp_binding, llama_cpp_chat
from edgeconv.runtimes.answers import Answer, Sampling
from edgeconv.runtimes.llama_cpp_cached import _Growing
from edgeconv.runtimes.llama_cpp_chat import LlamaCppChat
from edgeconv.runtimes.onnx_chat import OnnxChat
from edgeconv.runtimes.openvino_genai import Chat
from edgeconv.runtimes.openvino_vision_chat import VisionChat

GREEDY = Sampling(max_new_tokens=32, temperature=0)
QUESTIONS = ("What is the capital of Italy?", "日本的首都是哪里？", "What is 4 + 3?", "And <|user|> of it?")
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}\n{% set c = a %}{% endfor %}{% endfor %}"


def to_gguf(source: Path, output: Path) -> Path:
    """The language model in float32."""
    run(GgufJob(str(source), recipe("f32"), output=output, smoke_test=False))
    (found,) = (file for file in output.glob("*.gguf") if not file.name.startswith("mmproj"))
    return found


def to_openvino(source: Path, output: Path) -> Path:
    return run(Job(str(source), Request("fp32"), output=output, smoke_test=False)).path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_gguf(builtin.model_path(), tmp_path_factory.mktemp("gguf") / "out")


@pytest.fixture(scope="module")
def loaded(file: Path) -> Iterator[LlamaCppChat]:
    chat = LlamaCppChat(file, sampling=GREEDY)
    yield chat
    chat.close()


@pytest.fixture
def chat(loaded: LlamaCppChat) -> LlamaCppChat:
    loaded.reset()
    return loaded


def talk(chat: Any, questions: Sequence[str]) -> list[Answer]:
    answers = []
    for question in questions:
        with chat.ask(question) as generation:
            answers.append(generation.answer())
    return answers


def test_a_conversation_is_that_of_the_ir(chat: LlamaCppChat, tmp_path: Path) -> None:
    expected = talk(Chat(to_openvino(builtin.model_path(), tmp_path / "ov"), sampling=GREEDY), QUESTIONS)
    made = talk(chat, QUESTIONS)
    assert [(one.text, one.finish, one.prompt_tokens) for one in made] == [
        (one.text, one.finish, one.prompt_tokens) for one in expected
    ]
    assert "Rome" in made[0].text
    assert made[0].finish == "stop"


@pytest.mark.slow
def test_a_real_model_says_what_its_onnx_says(smollm2_llama: Path, tmp_path: Path) -> None:
    questions = ("What is the capital of France?", "And how many people live there?")
    run(OnnxJob(str(smollm2_llama), Request("fp32"), output=tmp_path / "onnx", smoke_test=False))
    expected = talk(OnnxChat(tmp_path / "onnx", sampling=GREEDY), questions)
    made = talk(LlamaCppChat(to_gguf(smollm2_llama, tmp_path / "gguf"), sampling=GREEDY), questions)
    assert [one.text for one in made] == [one.text for one in expected]
    assert "Paris" in made[0].text


def reads(chat: LlamaCppChat, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of tokens that llama.cpp reads from here on, one a call."""
    counts: list[int] = []
    read = _Growing.read

    def counted(self: _Growing, ids: Sequence[int], past: int) -> None:
        counts.append(len(ids))
        read(self, ids, past)

    monkeypatch.setattr(_Growing, "read", counted)
    return counts


def test_a_later_turn_reads_what_is_new(chat: LlamaCppChat, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(chat, QUESTIONS[:1])
    counts = reads(chat, monkeypatch)
    (second,) = talk(chat, QUESTIONS[1:2])
    assert 1 < counts[0] < second.prompt_tokens / 2


def test_a_cache_that_is_cut_or_cannot_be(chat: LlamaCppChat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation is another than what was read: with a cache that can be cut, and with one that cannot."""
    found = []
    for cuts in (True, False):
        chat.reset()
        talk(chat, QUESTIONS[:1])
        chat.messages[-1] = {"role": "assistant", "content": "Milan."}
        with monkeypatch.context() as patch:
            if not cuts:
                patch.setattr(_Growing, "shorten", lambda self, count: False)
            counts = reads(chat, patch)
            (made,) = talk(chat, QUESTIONS[1:2])
        assert (counts[0] == made.prompt_tokens) is not cuts
        found.append(made.text)
    assert found[0] == found[1]


def test_a_conversation_outgrows_its_context(chat: LlamaCppChat, file: Path) -> None:
    long = "What is the capital of Italy? " * 120
    first, _, third = talk(chat, [QUESTIONS[0], long, QUESTIONS[2]])
    assert third.prompt_tokens > 700
    fresh = LlamaCppChat(file, sampling=GREEDY)
    fresh.messages = list(chat.messages[:-2])
    (again,) = talk(fresh, QUESTIONS[2:3])
    assert (again.text, again.prompt_tokens) == (third.text, third.prompt_tokens)
    assert "Rome" in first.text


def test_a_seed_repeats_a_conversation(file: Path) -> None:
    rules = Sampling(24, temperature=1.5, top_k=50, top_p=0.98, repetition_penalty=1.1, seed=7)
    chat = LlamaCppChat(file, sampling=rules)
    first = talk(chat, QUESTIONS[:2])
    chat.reset()
    assert [one.text for one in talk(chat, QUESTIONS[:2])] == [one.text for one in first]
    greedy = LlamaCppChat(file, sampling=GREEDY)
    assert [one.text for one in talk(greedy, QUESTIONS[:2])] != [one.text for one in first]


def test_rules_are_the_files_own(tmp_path: Path) -> None:
    source = shutil.copytree(builtin.model_path(), tmp_path / "source")
    stated = '{"do_sample": true, "temperature": 0.5, "top_k": 7, "top_p": 0.25, "repetition_penalty": 1.5}'
    (source / "generation_config.json").write_text(stated)
    rules = LlamaCppChat(to_gguf(source, tmp_path / "gguf"), sampling=Sampling(temperature=0.75)).rules
    assert (rules.do_sample, rules.temperature, rules.top_k, rules.top_p, rules.repetition_penalty) == (
        True, 0.75, 7, 0.25, 1.5,
    )  # fmt: skip


def test_an_answer_that_is_stopped(chat: LlamaCppChat) -> None:
    with chat.ask(QUESTIONS[0]) as generation:
        next(iter(generation))
        generation.cancel()
        assert generation.answer().finish == "interrupted"
    assert chat.reply(QUESTIONS[2]).text


def test_a_system_message(file: Path) -> None:
    chat = LlamaCppChat(file, system="You are a pirate.", sampling=GREEDY)
    _, ids, _ = chat.prompt("Hello")
    assert "You are a pirate." in chat.prompter.pieces()._tokenizer.decode(ids)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_gguf(builtin.vision_model_path(), tmp_path_factory.mktemp("v") / "gguf")


def test_captions_are_those_of_the_ir(seeing: Path, tmp_path: Path) -> None:
    """Pictures of every form, each in a conversation of its own, and then three questions about two in one."""
    (projector,) = seeing.parent.glob("mmproj-*.gguf")
    theirs: Any = VisionChat(to_openvino(builtin.vision_model_path(), tmp_path / "ov"), sampling=GREEDY)
    ours = LlamaCppChat(seeing, projector=projector, sampling=GREEDY)
    samples = pictures.samples(1)
    turns = [[(one.question, [one.picture])] for one in samples[:6]]
    turns.append([*(turn[0] for turn in turns[:2]), ("What is the capital of Italy?", [])])
    right = 0
    for conversation in turns:
        for chat in (ours, theirs):
            chat.reset()
        for question, shown in conversation:
            made, expected = ours.reply(question, shown), theirs.reply(question, shown)
            assert (made.text, made.prompt_tokens) == (expected.text, expected.prompt_tokens)
            right += made.text in {one.answer for one in samples}
    assert right >= 6


def test_a_picture_is_read_once(
    seeing: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (projector,) = seeing.parent.glob("mmproj-*.gguf")
    chat = LlamaCppChat(seeing, projector=projector, sampling=GREEDY)
    seen: list[int] = []
    see = _Growing.see
    monkeypatch.setattr(
        _Growing, "see", lambda self, tower, number, past: (seen.append(number), see(self, tower, number, past))
    )
    sample = pictures.samples(1)[0]
    chat.reply(sample.question, [sample.picture])
    chat.reply(QUESTIONS[0])
    assert seen == [-1]
    chat.reset()
    assert chat.reply(sample.question, [sample.picture]).text == sample.answer
    assert capfd.readouterr().err == ""  # the library writes dozens of lines


def test_a_model_that_sees_talks_without_its_eyes(seeing: Path) -> None:
    """Its template drops plain texts, so they come in parts."""
    assert "Rome" in LlamaCppChat(seeing, sampling=GREEDY).reply(QUESTIONS[0]).text


def replaced(old: bytes, new: bytes) -> Callable[[Path], object]:
    """Put one text in the place of another of the same length."""

    def spoil(path: Path) -> None:
        raw = path.read_bytes()
        assert old in raw
        assert len(old) == len(new)
        path.write_bytes(raw.replace(old, new, 1))

    return spoil


def templated(text: str) -> Callable[[Path], object]:
    """Put a template in the place of the file's, spaces behind it."""

    def spoil(path: Path) -> None:
        old = open_gguf(path).keys["tokenizer.chat_template"].encode()
        replaced(old, text.encode().ljust(len(old)))(path)

    return spoil


def kind(name: bytes) -> bytes:
    return b"general.type" + struct.pack("<IQ", 8, len(name)) + name


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no template": (replaced(b"tokenizer.chat_template", b"tokenizer.chat_templatx"), "has no chat template"),
    "an endless template": (templated(ENDLESS), "it runs for more than"),
    "no template at all": (templated("{% if"), "chat template cannot be read"),
    "an adapter": (replaced(kind(b"model"), kind(b"lora!")), "is not a language model, but of the type 'lora!'"),
    "another architecture": (replaced(b"chatglm", b"whisper"), "llama.cpp does not run"),
    "no whole file": (lambda path: path.write_bytes(b"GGUF"), "x.gguf"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_cannot_talk(name: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.6)
    spoil, says = FAULTS[name]
    copy = Path(shutil.copy(file, tmp_path / "x.gguf"))
    spoil(copy)
    with pytest.raises(ArtifactError, match=says):
        LlamaCppChat(copy, sampling=GREEDY).reply("Hello")


def test_a_mmproj_is_no_model_to_talk_to(seeing: Path) -> None:
    (projector,) = seeing.parent.glob("mmproj-*.gguf")
    with pytest.raises(ArtifactError, match="is not a language model"):
        LlamaCppChat(projector)


def test_a_mmproj_of_another_model(seeing: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(seeing.parent, tmp_path / "copy")
    (projector,) = folder.glob("mmproj-*.gguf")
    raw = projector.read_bytes()
    projector.write_bytes(raw.replace(b"adapter.boi", b"adapter.bio"))
    chat = LlamaCppChat(folder / seeing.name, projector=projector, sampling=GREEDY)
    sample = pictures.samples(1)[0]
    with pytest.raises(ArtifactError, match="does not see with mmproj"):
        chat.reply(sample.question, [sample.picture])
    assert "Rome" in chat.reply(QUESTIONS[0]).text


def test_another_device(file: Path) -> None:
    with pytest.raises(UsageError, match="cannot run on GPU"):
        LlamaCppChat(file, device="GPU")


def test_a_missing_binding_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_binding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        llama_cpp_chat.LlamaCppChat(file)
    assert "cyllama" in caught.value.message
    assert caught.value.hint == "pip install 'edgeconv[gguf]'"

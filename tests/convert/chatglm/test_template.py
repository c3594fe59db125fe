"""Rendered prompts become the ids that the vendor's default code puts together piece by piece."""

import json
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer

from edgeconv.convert.chatglm import template
from edgeconv.convert.chatglm.version import Version, find
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError

from ...models import tiny_chatglm

CHAT = [
    {"role": "user", "content": "你好，philosophy?"},
    {"role": "assistant", "content": "你好！\n\n  def f(x):\n    return x"},
    {"role": "user", "content": ""},
    {"role": "assistant", "content": "Ask."},
    {"role": "user", "content": " people  "},
]
SYSTEM = {"role": "system", "content": "Answer briefly."}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def opened(folder: Path, vocabulary: str = "pieces", **files: str) -> Any:
    tiny_chatglm.make(folder, vocabulary=vocabulary)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return AutoTokenizer.from_pretrained(open_checkpoint(folder).folder)


def ids_of(made: Any, chat: list[dict[str, str]], *, prompted: bool = True) -> list[int]:
    return list(made.apply_chat_template(chat, add_generation_prompt=prompted)["input_ids"])


def test_chatglm2(tmp_path: Path) -> None:
    """`build_prompt`: one text of numbered rounds, encoded at once behind the prefix."""
    made = opened(tmp_path / "chatglm2-6b")
    original = SentencePieceProcessor(model_proto=tiny_chatglm.pieces())
    prompt = ""
    for number in range(3):
        prompt += f"[Round {number + 1}]\n\n问：{CHAT[2 * number]['content']}\n\n答："
        prompt += f"{CHAT[2 * number + 1]['content']}\n\n" if number < 2 else ""
    prefix = [tiny_chatglm.PIECES + 1, tiny_chatglm.PIECES + 3]
    assert ids_of(made, CHAT) == prefix + original.encode(prompt) == made(prompt)["input_ids"]
    assert made.apply_chat_template([SYSTEM, *CHAT[:1]], tokenize=False) == (
        "[gMASK]<sop>Answer briefly.\n\n[Round 1]\n\n问：你好，philosophy?\n\n"
    )


def test_chatglm3(tmp_path: Path) -> None:
    """`build_chat_input`: for each message the role's token, the encoded line "metadata\\n", the encoded content."""
    made = opened(tmp_path / "chatglm3-6b")
    original = SentencePieceProcessor(model_proto=tiny_chatglm.pieces())
    roles = {role: tiny_chatglm.PIECES + 5 + i for i, role in enumerate(("system", "user", "assistant", "observation"))}
    expected = [tiny_chatglm.PIECES + 1, tiny_chatglm.PIECES + 3]
    for message in [SYSTEM, *CHAT]:
        expected += [roles[message["role"]], *original.encode("\n"), *original.encode(message["content"])]
    assert ids_of(made, [SYSTEM, *CHAT]) == [*expected, roles["assistant"]]


def test_glm4(tmp_path: Path) -> None:
    made = opened(tmp_path / "m", "ranks")
    first = tiny_chatglm.RANKS
    expected = [first + 2, first + 4]
    for message in [SYSTEM, *CHAT]:
        role = made.convert_tokens_to_ids(f"<|{message['role']}|>")
        expected += [role, *made(f"\n{message['content']}", add_special_tokens=False)["input_ids"]]
    assert ids_of(made, [SYSTEM, *CHAT]) == [*expected, made.convert_tokens_to_ids("<|assistant|>")]


def test_the_checkpoint_s_own_template_is_kept(tmp_path: Path) -> None:
    own = "{% for m in messages %}{% if loop.first %}[gMASK]sop{% endif %}<|{{ m['role'] }}|>\n {{ m['content'] }}{% endfor %}"
    made = opened(tmp_path / "m", tokenizer_config__json=json.dumps({"chat_template": own}))
    assert made.chat_template == own.replace("sop", "<sop>")
    first = tiny_chatglm.PIECES
    assert ids_of(made, CHAT[:1], prompted=False)[:3] == [first + 1, first + 3, first + 6]
    glm4 = tmp_path / "4"
    glm4.mkdir()
    (glm4 / "chat_template.jinja").write_text("[gMASK]sop")
    assert template.choose(glm4, Version.GLM4) == ("[gMASK]sop", True)


@pytest.mark.parametrize(
    ("name", "config", "files", "version"),
    [
        ("m", {}, {}, 2),
        ("chatglm3-6b", {}, {}, 3),
        ("chatglm3-6b", {"_name_or_path": "THUDM/chatglm2-6b"}, {}, 2),
        ("m", {"_name_or_path": "/models/ChatGLM3-6b-base"}, {}, 3),
        ("models--THUDM--chatglm3-6b/snapshots/0123", {}, {}, 3),
        ("codegeex2-6b", {}, {}, 2),
        ("chatglm2", {}, {"tokenizer_config.json": '{"added_tokens_decoder": {"64795": {"content": "<|user|>"}}}'}, 3),
        ("chatglm2", {}, {"tokenizer.model": "IQ== 0\nIg== 1\n"}, 4),
    ],
)
def test_version(name: str, config: dict[str, Any], files: dict[str, str], version: int, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    for file, content in ({"tokenizer.model": "\n\x0e\n\x05<unk>"} | files).items():
        (folder / file).write_text(content)
    found, known_by = find(folder, config)
    assert found == version and known_by


def test_without_a_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer\.model"):
        find(tmp_path, {})


def test_ends_of_a_generation(tmp_path: Path) -> None:
    """ChatGLM3's `chat` stops at the next user and at an observation, which its config.json does not say."""
    first = tiny_chatglm.PIECES
    for name, ends in (("chatglm2-6b", 2), ("chatglm3-6b", [2, first + 6, first + 8])):
        tiny_chatglm.make(tmp_path / name)
        (tmp_path / name / "generation_config.json").write_text('{"_from_model_config": true, "top_p": 0.8}')
        checkpoint = open_checkpoint(tmp_path / name)
        assert checkpoint.generation_config == {"top_p": 0.8, "eos_token_id": ends, "pad_token_id": 0}
        assert checkpoint.config["eos_token_id"] == ends

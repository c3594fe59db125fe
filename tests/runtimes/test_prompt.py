import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families.glm_edge_v_model import load_processor
from edgeconv.core.errors import ArtifactError, UsageError
from edgeconv.runtimes.prompt import Pieces, Prompter, message

TEXTS = ["What is it?", "  这是什么？\n\nx", "Çà 👩‍🚀 e\u0301 \u3000全角", "{{ 1 }} {% raw %} <b>", ""]
CONVERSATIONS = {
    "text": [message("user", "Hello")],
    "a picture": [message("user", "What is it?", 1)],
    "two pictures": [message("user", "Which is larger?", 2)],
    "turns": [message("user", "这是什么？", 1), message("assistant", "一个圆。"), message("user", "And now?", 1)],
    "system": [message("system", "Be brief."), message("user", "Hello")],
    **{f"text {i}": [message("user", text)] for i, text in enumerate(TEXTS)},
}


@pytest.fixture(scope="module")
def prompter(artifact: Path) -> Prompter:
    return Prompter(artifact)


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> Any:
    return load_processor(checkpoint)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_prompts_and_ids_are_those_of_transformers(name: str, prompter: Prompter, reference: Any) -> None:
    conversation = CONVERSATIONS[name]
    expected = reference.apply_chat_template(conversation, add_generation_prompt=True)
    prompt = prompter.render(conversation)
    assert prompt == expected
    assert prompter.encode(prompt) == reference.tokenizer(expected)["input_ids"]


@pytest.mark.parametrize("text", ["東京👩‍🚀", "naïve Ω≈ç√ 🇨🇭", "plain", "\ufffd is a character too: \ufffd."])
def test_pieces_end_between_characters(text: str, prompter: Prompter) -> None:
    ids = [_byte_token(prompter, byte) for byte in text.encode()]  # the smallest parts there are
    pieces = prompter.pieces()
    shown = [pieces.push(token) for token in ids]
    assert "".join(shown) + pieces.rest() == text
    assert len([piece for piece in shown if piece]) > 1
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in shown)


def test_a_character_that_never_ends_is_left_out(prompter: Prompter) -> None:
    first, *rest = (_byte_token(prompter, byte) for byte in "a京".encode())
    pieces = prompter.pieces()
    assert [pieces.push(first), *map(pieces.push, rest[:-1])] == ["a", "", ""]
    assert pieces.rest() == ""


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_any_tokens_are_the_whole_text(seed: int, prompter: Prompter, reference: Any) -> None:
    ids = np.random.default_rng(seed).integers(0, 4096, 40).tolist()
    pieces = prompter.pieces()
    shown = [pieces.push(token) for token in ids]
    whole = reference.tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(shown) + pieces.rest() == whole.rstrip("\ufffd")
    assert not any(piece.endswith("\ufffd") for piece in shown)


def test_words_of_sentencepiece_keep_their_spaces() -> None:
    """Llama 2's decoder strips the space at the beginning of what it is given, and that is not each token."""
    from tokenizers import Tokenizer, decoders, models

    words = ["<unk>", "▁I", "▁am", "▁test", "ing", "<0xE4>", "<0xBA>", "<0xAC>", "▁."]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>"))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    pieces = Pieces(tokenizer)
    assert [pieces.push(token) for token in range(1, 9)] == ["I", " am", " test", "ing", "", "", "京", " ."]


def test_special_tokens_give_no_text(prompter: Prompter) -> None:
    pieces = prompter.pieces()
    assert "".join(map(pieces.push, prompter.encode("<|user|>\nyes<|begin_of_image|><|endoftext|>"))) == "\nyes"


def copy_with(artifact: Path, folder: Path, template: str | None, **fields: Any) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(artifact / name, folder / name)
    stated = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(stated | fields | {"chat_template": template}))
    return folder


def test_a_template_may_name_special_tokens(artifact: Path, tmp_path: Path) -> None:
    template = "{{ bos_token }}{{ messages[0]['content'][0]['text'] }}{{ eos_token }}{{ messages | tojson }}"
    folder = copy_with(artifact, tmp_path, template, bos_token={"content": "<s>", "lstrip": False})
    expected = '<s>é<|endoftext|>[{"role": "user", "content": [{"type": "text", "text": "é"}]}]'
    assert Prompter(folder).render([message("user", "é")]) == expected


def test_a_template_that_refuses(artifact: Path, tmp_path: Path) -> None:
    folder = copy_with(artifact, tmp_path, "{{ raise_exception('Only one picture, please.') }}")
    with pytest.raises(UsageError, match="Only one picture, please"):
        Prompter(folder).render([message("user", "Hello", 2)])


@pytest.mark.parametrize(("template", "words"), [(None, "no chat template"), ("{% if %}", "cannot be read")])
def test_no_template_or_a_broken_one(artifact: Path, tmp_path: Path, template: str | None, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        Prompter(copy_with(artifact, tmp_path, template))


def test_a_damaged_tokenizer(artifact: Path, tmp_path: Path) -> None:
    folder = copy_with(artifact, tmp_path, "x")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"tokenizer\.json cannot be read"):
        Prompter(folder)


def _byte_token(prompter: Prompter, byte: int) -> int:
    """The id of the token that is this one byte, written as byte-level BPE writes it."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return int(prompter._tokenizer.token_to_id(bytes_to_unicode()[byte]))

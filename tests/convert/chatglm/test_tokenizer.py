"""The tokenizers made of a ChatGLM's vocabulary give the ids of sentencepiece itself, and of byte-pair ranks taken one by one."""

import base64
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import regex
from sentencepiece import SentencePieceProcessor

from edgeconv.convert.chatglm import tokenizer
from edgeconv.convert.chatglm.version import Version
from edgeconv.convert.gguf.pretokenizer import LLAMA3
from edgeconv.core.errors import CheckpointError
from edgeconv.validate.checks.corpus import TEXTS

from ...models import tiny_chatglm

PARTS = (
    "a", "b", "aa", "the", " ", "  ", "    ", "\n", "\n\n", "\t", "你", "好", "人工智能", "1", "23", "def ", "(", "e", "ing",
    "\u3000", "😀", "▁", "people", "philosophy", "sop", "，", "é", "e\u0301", "\r\n", "return self",
)  # fmt: skip
HAS_MARKERS = "looks like markup"
"""A text with </s> and the like, which the original splits as text; here they are tokens, as for every other tokenizer."""


def random_texts(count: int) -> list[str]:
    chance = random.Random(3)
    return ["".join(chance.choices(PARTS, k=chance.randint(0, 30))) for _ in range(count)]


def corpus() -> list[str]:
    return [text for name, text in TEXTS.items() if name != HAS_MARKERS] + random_texts(2000)


def of_pieces(folder: Path, version: Version = Version.CHATGLM2, **options: Any) -> tuple[Any, SentencePieceProcessor]:
    data = tiny_chatglm.pieces(**options)
    (folder / "tokenizer.model").write_bytes(data)
    return tokenizer.make(folder, version).tokenizer, SentencePieceProcessor(model_proto=data)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_dummy_prefix": False},
        {"split_digits": False, "size": 1400},
        {"user_defined_symbols": "<n>,<|tab|>"},
    ],
    ids=str,
)
def test_ids_and_texts_are_sentencepiece_s(options: dict[str, Any], tmp_path: Path) -> None:
    made, original = of_pieces(tmp_path, **options)
    for text in corpus():
        ids = original.encode(text)
        assert made.encode(text, add_special_tokens=False).ids == ids, text
        assert made.decode(ids) == original.decode(ids), text


def test_white_space_that_sentencepiece_removes(tmp_path: Path) -> None:
    made, original = of_pieces(tmp_path, remove_extra_whitespaces=True)
    for text in corpus():
        if "▁" not in text:  # which sentencepiece takes for a space here
            assert made.encode(text, add_special_tokens=False).ids == original.encode(text), text


def test_characters_that_sentencepiece_replaces(tmp_path: Path) -> None:
    made, original = of_pieces(tmp_path, normalization_rule_name="nmt_nfkc", remove_extra_whitespaces=True)
    for text in ("Ａ２３ ①  ㎏ ﬁ", TEXTS["compatibility forms"], TEXTS["English"], TEXTS["Chinese"]):
        assert made.encode(text, add_special_tokens=False).ids == original.encode(text)


@pytest.mark.parametrize("version", [Version.CHATGLM2, Version.CHATGLM3])
def test_special_ids_follow_the_pieces(version: Version, tmp_path: Path) -> None:
    made, original = of_pieces(tmp_path, version)
    first = original.vocab_size()
    names = ["[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"]
    names += ["<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"] if version == 3 else []
    assert [made.token_to_id(name) for name in names] == list(range(first, first + len(names)))
    assert made.get_vocab_size() == first + len(names)
    assert made.encode("你好").ids == [first + 1, first + 3, *original.encode("你好")]
    assert made.encode("").ids == [first + 1, first + 3]
    described = tokenizer.make(tmp_path, version)
    assert (made.token_to_id(described.eos), made.token_to_id(described.pad)) == (2, 0)
    assert described.ends == ([2] if version == 2 else [2, first + 6, first + 8])


def test_sop_and_eop_are_not_found_in_words(tmp_path: Path) -> None:
    made, original = of_pieces(tmp_path)
    for text in ("people", "philosophy", "[gMASK]sop", "eop sop"):
        ids = made.encode(text, add_special_tokens=False).ids
        assert not {made.token_to_id("<sop>"), made.token_to_id("<eop>")} & set(ids)
    assert made.encode("people", add_special_tokens=False).ids == original.encode("people")


def split_by_rank(piece: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Byte-pair encoding as tiktoken's `_byte_pair_merge` defines it: join the two of lowest rank, the first of equals."""
    if piece in ranks:
        return [ranks[piece]]
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while True:
        joined = [(ranks[a + b], i) for i, (a, b) in enumerate(itertools.pairwise(parts)) if a + b in ranks]
        if not joined:
            return [ranks[part] for part in parts]
        _, at = min(joined)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def test_ids_are_those_of_the_ranks(tmp_path: Path) -> None:
    data = tiny_chatglm.ranks()
    (tmp_path / "tokenizer.model").write_bytes(data)
    made = tokenizer.make(tmp_path, Version.GLM4).tokenizer
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines())}
    pattern = regex.compile(LLAMA3)
    for text in corpus():
        expected = [number for word in pattern.findall(text) for number in split_by_rank(word.encode(), ranks)]
        assert made.encode(text, add_special_tokens=False).ids == expected, text
        assert made.decode(expected) == text
    first = len(ranks)
    assert made.token_to_id("<|endoftext|>") == first
    assert made.encode("a").ids[:2] == [first + 2, first + 4] == [made.token_to_id(t) for t in ("[gMASK]", "<sop>")]
    assert tokenizer.make(tmp_path, Version.GLM4).ends == [first, first + 7, first + 9]


def test_special_tokens_that_the_checkpoint_lists(tmp_path: Path) -> None:
    data = tiny_chatglm.ranks()
    first = len(data.splitlines())
    (tmp_path / "tokenizer.model").write_bytes(data)
    named = ["<|endoftext|>", "[gMASK]", "<sop>", "<|user|>", "<|observation|>", "<|extra|>"]
    listed = ", ".join(f'"{first + i}": {{"content": "{name}"}}' for i, name in enumerate(named))
    (tmp_path / "tokenizer_config.json").write_text(f'{{"added_tokens_decoder": {{{listed}}}}}')
    made = tokenizer.make(tmp_path, Version.GLM4)
    assert made.tokenizer.token_to_id("<|extra|>") == first + 5
    assert made.ends == [first, first + 3, first + 4]


@pytest.mark.parametrize(
    ("data", "version", "says"),
    [
        (b"", Version.CHATGLM2, "not a sentencepiece model"),
        (b"YQ== 0\n", Version.GLM4, "not a whole list"),
        (tiny_chatglm.ranks()[:-3], Version.GLM4, "not a (whole )?list"),
        (b"YQ== 0\n*** 1\n", Version.GLM4, "not a list of byte-pair ranks"),
    ],
)
def test_damaged_vocabularies(data: bytes, version: Version, says: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(CheckpointError, match=says):
        tokenizer.make(tmp_path, version)


def test_unigram_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a BPE"):
        of_pieces(tmp_path, model_type="unigram")

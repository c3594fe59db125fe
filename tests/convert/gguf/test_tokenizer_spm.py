"""Sentencepiece vocabularies: tokenizer.model alone, tokenizer.json alone, and both."""

import json
import struct

import pytest

from edgeconv.convert.gguf import tokenizer
from edgeconv.convert.gguf.vocabulary import TokenType
from edgeconv.core import sentencepiece_file
from edgeconv.core.errors import CheckpointError

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = ["ab", "▁ab", "abc", "▁", "a", "b", "c"]
MERGES = [["a", "b"], ["▁", "ab"], ["▁a", "b"], ["ab", "c"], ["a", "bc"], ["▁", "a"], ["b", "c"]]
FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
PIECES = ["<unk>", "<s>", "</s>", *BYTES, *WORDS]
RANKS = {"ab": 0.0, "▁ab": -1.0, "abc": -3.0}


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, float):
        return varint(number << 3 | 5) + struct.pack("<f", content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def spm(kind=2, dummy_prefix=None):
    """A tokenizer.model: unk, s and /s, 256 bytes, and words whose scores fall."""
    types = {"<unk>": 2, "<s>": 3, "</s>": 3} | dict.fromkeys(BYTES, 6)
    data = b""
    for at, text in enumerate(PIECES):
        score = -float(at) if text in WORDS else 0.0
        piece = field(1, text.encode()) + field(2, score)
        data += field(1, piece + (field(3, types[text]) if text in types else b""))
    data += field(2, field(1, b"corpus.txt") + field(3, kind))
    return data + field(3, b"" if dummy_prefix is None else field(3, int(dummy_prefix)))


def tokenizer_json(**fields):
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": at, "content": text, "special": True} | dict.fromkeys(FLAGS, False)
            for at, text in enumerate(PIECES[:3])
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": {text: at for at, text in enumerate([*PIECES, "▁a", "bc"])}, "merges": MERGES,
        },
    } | fields  # fmt: skip


def write(folder, *, model=None, fast=None, **config):
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>", **config}))
    if model is not None:
        (folder / "tokenizer.model").write_bytes(model)
    if fast is not None:
        (folder / "tokenizer.json").write_text(json.dumps(fast))
    return folder


def read(folder, size=270):
    return tokenizer.read(folder, size, {}, {})


def test_the_model_alone(tmp_path):
    made = read(write(tmp_path, model=spm()))
    assert (made.model, made.pre, made.merges) == ("llama", "default", None)
    assert made.tokens[: len(PIECES)] == PIECES
    assert made.types[:4] == [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.BYTE]
    assert made.types[260:] == [TokenType.NORMAL] * 6 + [TokenType.UNUSED] * 4
    assert made.scores[259:262] == [-259.0, -260.0, -261.0]
    assert made.special == {"bos": 1, "eos": 2}
    assert made.flags == {"add_bos_token": True, "add_eos_token": False, "add_space_prefix": True}


def test_the_models_own_settings(tmp_path):
    assert read(write(tmp_path, model=spm(dummy_prefix=False))).flags["add_space_prefix"] is False
    assert read(write(tmp_path, model=spm(), add_bos_token=False, add_eos_token=True)).flags == {
        "add_bos_token": False, "add_eos_token": True, "add_space_prefix": True,
    }  # fmt: skip


def test_tokenizer_json_alone_gives_scores_by_the_order_of_merges(tmp_path):
    made = read(write(tmp_path, fast=tokenizer_json()))
    scores = dict(zip(made.tokens, made.scores, strict=True))
    assert {text: scores[text] for text in RANKS} == RANKS
    assert scores["a"] == -len(MERGES)
    assert made.types[3] == TokenType.BYTE
    assert made.types[0] == TokenType.CONTROL  # an added token comes before what the model says
    assert made.flags == {"add_bos_token": True, "add_eos_token": False, "add_space_prefix": True}


def test_both_take_the_models_scores_if_they_agree(tmp_path):
    made = read(write(tmp_path, model=spm(), fast=tokenizer_json()))
    assert made.scores[259] == -259.0
    other = tokenizer_json()
    other["model"]["vocab"] = other["model"]["vocab"] | {"ab": 260, "▁ab": 259}
    assert read(write(tmp_path, fast=other)).scores[260] == RANKS["ab"]


METASPACE = {"type": "Metaspace", "replacement": "▁", "split": False}


@pytest.mark.parametrize(
    ("fields", "prefix"),
    [
        ({"normalizer": None, "pre_tokenizer": METASPACE | {"prepend_scheme": "first"}}, True),
        ({"normalizer": None, "pre_tokenizer": METASPACE | {"prepend_scheme": "never"}}, False),
        ({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}}, False),
    ],
)  # fmt: skip
def test_space_in_front(fields, prefix, tmp_path):
    assert read(write(tmp_path, fast=tokenizer_json(**fields))).flags["add_space_prefix"] is prefix


def test_a_prefix_of_the_first_word_alone(tmp_path):
    """llama.cpp puts one behind every marker or nowhere: nowhere, if a chat begins with a marker."""
    first = tokenizer_json(normalizer=None, pre_tokenizer=METASPACE | {"prepend_scheme": "first"})
    made = read(write(tmp_path, fast=first))
    assert made.flags["add_space_prefix"] is True
    assert "behind every marker too" in made.notes[-1]
    chat = "{{ bos_token }}{% for m in messages %}[INST] {{ m.content }}{% endfor %}"
    made = read(write(tmp_path, fast=first, chat_template=chat))
    assert made.flags["add_space_prefix"] is False
    assert "in front of no text" in made.notes[-1]
    assert read(write(tmp_path, fast=first, chat_template=chat[15:])).flags["add_space_prefix"] is True


def test_added_text_is_stored_as_plain_text(tmp_path):
    fast = tokenizer_json()
    fast["added_tokens"].append(fast["added_tokens"][0] | {"id": 269, "content": "▁▁", "special": False})
    made = read(write(tmp_path, fast=fast))
    assert (made.tokens[269], made.types[269], made.scores[269]) == ("  ", TokenType.USER_DEFINED, -1000.0)


def test_what_is_no_sentencepiece_model(tmp_path):
    for junk in (b"", b"MIT license", spm()[:-3], b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x08\x01"):
        (tmp_path / "tokenizer.model").write_bytes(junk)
        with pytest.raises(CheckpointError, match="not a sentencepiece model"):
            sentencepiece_file.read(tmp_path / "tokenizer.model")


def test_a_unigram_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="not a BPE of sentencepiece"):
        read(write(tmp_path, model=spm(kind=1)))


def test_another_file_under_the_name_tokenizer_model_does_not_disturb(tmp_path):
    """GLM-4 and Llama 3 keep byte-pair ranks there."""
    made = read(write(tmp_path, model=b"IQ== 0\nIg== 1\n", fast=tokenizer_json()))
    assert made.scores[259] == RANKS["ab"]

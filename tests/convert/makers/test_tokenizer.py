"""The tokenizers of makers' checkpoints: tokenizer.json as it is, or made of tokenizer.model with markers in the free places."""

import io
import json
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError
from edgeconv.core.hf_tokenizer import open_tokenizer

from ...models import tiny_makers

TEXTS = ("Hello world", "  two  spaces", "1234 and 56", "今天天气很好", "a\nb\t🐉", " x")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def test_a_fast_tokenizer_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tiny_makers.make("internlm3", tmp_path / "m")
    seen = open_checkpoint(folder).folder
    assert (seen / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    config = json.loads((seen / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast" and "auto_map" not in config
    assert not list(seen.glob("*.py"))


def test_pieces_are_encoded_as_sentencepiece_does(tmp_path: Path) -> None:
    folder = tiny_makers.make("internlm2", tmp_path / "m", pieces=True)
    made = open_tokenizer(open_checkpoint(folder).folder)
    original = SentencePieceProcessor(model_proto=(folder / "tokenizer.model").read_bytes())
    for text in TEXTS:
        assert made(text).input_ids == [1, *original.encode(text)]
        assert made.decode(made(text).input_ids, skip_special_tokens=True) == original.decode(original.encode(text))


def test_markers_stand_in_the_places_that_were_kept_free(tmp_path: Path) -> None:
    folder = tiny_makers.make("internlm2", tmp_path / "m", pieces=True)
    made = open_tokenizer(open_checkpoint(folder).folder)
    assert [made.convert_tokens_to_ids(marker) for marker in tiny_makers.MARKERS] == [3, 4]
    original = SentencePieceProcessor(model_proto=(folder / "tokenizer.model").read_bytes())
    assert original.id_to_piece(3) == "[UNUSED_TOKEN_0]"
    prompt = made.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert prompt == [1, 3, *original.encode("user\nHi"), 4, *original.encode("\n"), 3, *original.encode("assistant\n")]


def test_added_tokens_behind_the_pieces_must_follow_them(tmp_path: Path) -> None:
    folder = tiny_makers.make("internlm2", tmp_path / "m", pieces=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    entry = config["added_tokens_decoder"]["3"]
    config["added_tokens_decoder"] |= {"1000": entry | {"content": "<|plugin|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    made = open_tokenizer(open_checkpoint(folder).folder)
    assert made("<|plugin|>").input_ids == [1, 1000]
    config["added_tokens_decoder"] |= {"1002": entry | {"content": "<|other|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"\[1000, 1002\].* do not follow the 1000 pieces"):
        open_checkpoint(folder)


def test_a_vocabulary_that_is_none(tmp_path: Path) -> None:
    folder = tiny_makers.make("internlm2", tmp_path / "m", pieces=True)
    (folder / "tokenizer.model").write_bytes(io.BytesIO(b"\x00" * 64).getvalue())
    with pytest.raises(CheckpointError, match="tokenizer"):
        open_tokenizer(open_checkpoint(folder).folder)

"""Every token of a byte-level and of a byte-fallback vocabulary is shown without U+FFFD, and none of its bytes is lost."""

import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from edgeconv.runtimes.byte_alphabet import from_stand_ins
from edgeconv.validate.token_display import shown
from edgeconv.validate.tokenizer import open_tokenizer


def raw(text: str) -> bytes:
    """The bytes behind what is shown."""
    return re.sub(rb"<0x([0-9A-F]{2})>", lambda found: bytes.fromhex(found[1].decode()), text.encode())


def test_every_token_of_a_byte_level_vocabulary(builtin_model: Path) -> None:
    tokenizer: Any = open_tokenizer(builtin_model)
    broken = 0
    for number in range(len(tokenizer)):
        text = shown(tokenizer, number)
        name = tokenizer.convert_ids_to_tokens(number)
        assert "\ufffd" not in text
        if number not in tokenizer.added_tokens_decoder:
            assert raw(text) == from_stand_ins(name)
        broken += text != tokenizer.decode([number])
    assert broken > 100


@pytest.mark.parametrize(
    ("name", "text"), [("<0xE4>", "<0xE4>"), ("<0x41>", "A"), ("a\ufffd", "a\ufffd"), ("▁so", "so")]
)
def test_tokens_of_a_byte_fallback(name: str, text: str) -> None:
    backend = Tokenizer(models.BPE({name: 0, "x": 1}, [], byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    assert shown(PreTrainedTokenizerFast(tokenizer_object=backend), 0) == text


def test_a_token_of_whole_and_broken_characters(builtin_model: Path) -> None:
    class Whole:
        def decode(self, ids: list[int], **_: Any) -> str:
            return "a\ufffd\ufffdé\ufffd"

        def convert_ids_to_tokens(self, token: int) -> str:
            return "aä½Ã©å"  # the stand-ins of 61 E4 BD C3 A9 E5

    assert shown(Whole(), 0) == "a<0xE4><0xBD>é<0xE5>"

"""A tokenizer.model alone: the door encodes as sentencepiece itself does."""

import json
import random
import shutil
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from edgeconv.convert import tokenizer_copy
from edgeconv.core.hf_tokenizer import open_tokenizer
from edgeconv.core.tokenizer_rebuilt import TEXTS

from ..models import real_tokenizers

SPACES = [
    text for count in range(1, 40) for text in (" " * count + "b", "a" + " " * count + "b", "-" * count + "=" * count)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mistral's first model file, as vicuna and open_llama are stored too."""
    made = tmp_path_factory.mktemp("mistral")
    shutil.copytree(real_tokenizers.files("mistral_v1"), made, dirs_exist_ok=True)
    (made / "config.json").write_text('{"model_type": "mistral", "vocab_size": 32000}')
    return made


def test_ids_and_texts_are_sentencepieces(folder: Path) -> None:
    opened, wanted = open_tokenizer(folder), SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    pick = random.Random(0)
    pieces = [wanted.id_to_piece(i).replace("\u2581", " ") for i in range(259, 32000)]
    mixed = [
        "".join(pick.choices([*pieces, *(["  "] * 2000), *(["\n"] * 500)], k=pick.randint(1, 12))) for _ in range(500)
    ]
    for text in [*TEXTS, *SPACES, *mixed, "<0x0A> <code> \u2581 a"]:
        ids = wanted.encode(text)
        assert opened(text, add_special_tokens=False)["input_ids"] == ids, text
        assert opened(text)["input_ids"] == [1, *ids]
        assert opened.decode(ids) == wanted.decode(ids), text


def test_special_tokens_are_found(folder: Path) -> None:
    """A prefix goes in front of each part, as sentencepiece does with each text and llama.cpp with each part."""
    opened = open_tokenizer(folder)
    wanted = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert opened("a</s>b", add_special_tokens=False)["input_ids"] == [*wanted.encode("a"), 2, *wanted.encode("b")]
    assert (opened.bos_token_id, opened.eos_token_id, opened.unk_token_id) == (1, 2, 0)


def test_artifacts_get_a_tokenizer_json_that_transformers_takes(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    made = tokenizer_copy.written(folder)
    for name, text in made.items():
        (tmp_path / name).write_text(text, "utf-8")
    shutil.copy(folder / "config.json", tmp_path)
    wanted = open_tokenizer(folder)
    loaded, read = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert json.loads(made["tokenizer_config.json"])["tokenizer_class"] == "PreTrainedTokenizerFast"
    for text in [*TEXTS, *SPACES]:
        assert loaded(text)["input_ids"] == read.encode(text).ids == wanted(text)["input_ids"]

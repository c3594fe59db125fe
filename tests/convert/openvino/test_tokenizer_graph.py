"""The tokenizer IRs are the tokenizer that they were made from, where openvino_tokenizers' own would not be."""

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_tokenizers  # noqa: F401 - registers its operations
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from edgeconv.convert.openvino.tokenizer import export
from edgeconv.core.hf_tokenizer import open_tokenizer
from edgeconv.validate.checks.corpus import TEXTS

from ...models import real_tokenizers

WORDS = ["<code>", "</div>", "<html>", "<0xZZ>", "<mask>"]
"""Six characters in angle brackets, none of them a byte."""


class Irs:
    """The two models of a folder, run by OpenVINO."""

    def __init__(self, source: Path, out: Path) -> None:
        out.mkdir(exist_ok=True)
        export(source, out, trust_remote_code=False)
        core = ov.Core()
        self._encode, self._decode = (
            core.compile_model(out / f"openvino_{name}.xml", "CPU") for name in ("tokenizer", "detokenizer")
        )

    def encode(self, text: str) -> list[int]:
        return [int(i) for i in self._encode([text])["input_ids"][0]]

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        found = self._encode(texts)
        pairs = zip(found["input_ids"], found["attention_mask"], strict=True)
        return [[int(i) for i, counts in zip(*pair, strict=True) if counts] for pair in pairs]

    def decode(self, ids: list[int]) -> str:
        return str(self._decode(np.array([ids], np.int64))[0][0])


def write(folder: Path, made: Tokenizer, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **config}))
    return folder


def require_equal(source: Path, irs: Irs, texts: list[str]) -> None:
    wanted = open_tokenizer(source)
    for text in texts:
        ids = wanted(text)["input_ids"]
        assert irs.encode(text) == ids, text
        if ids:
            assert irs.decode(ids) == wanted.decode(ids, skip_special_tokens=True), text


def with_bytes(added: bool) -> Tokenizer:
    """A BPE over characters with bytes as a last resort; `WORDS` are added tokens, or tokens that no merge makes."""
    texts = [
        "<unk>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *WORDS,
        "\u2581",
        *"<>/0xAZcodehtmlivask",
        "0x",
        "\u2581\u2581",
    ]
    merges = [("0", "x"), ("\u2581", "\u2581")]
    made = Tokenizer(
        models.BPE({text: at for at, text in enumerate(dict.fromkeys(texts))}, merges, unk_token="<unk>", byte_fallback=True)
    )  # fmt: skip
    made.add_special_tokens([AddedToken("<s>", special=True, normalized=False)])
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    if added:
        made.add_tokens([AddedToken(word, normalized=False) for word in WORDS])
    return made


@pytest.mark.parametrize("added", [True, False])
def test_byte_fallback_takes_bytes_and_nothing_else_for_bytes(added: bool, tmp_path: Path) -> None:
    source = write(tmp_path / "source", with_bytes(added))
    irs = Irs(source, tmp_path / "out")
    texts = ["<code>x</div>", "  <0x0A> \n é 日本 🙂", " ".join(WORDS), "<0x", "0x0A", "code<html", "\x00a"]
    require_equal(source, irs, texts)
    vocabulary = open_tokenizer(source).get_vocab()
    assert [irs.decode([vocabulary[word]]) for word in WORDS] == WORDS
    assert irs.decode([vocabulary["<0x41>"]]) == "A"


def test_a_step_does_not_look_across_the_border_of_another(tmp_path: Path) -> None:
    """DeepSeek's three expressions, and SmolLM2's digits: two spaces before a number."""
    thirds = pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")
    rest = pre_tokenizers.Split(Regex(r"\p{L}+|\s+(?!\S)|\s+"), "isolated")
    smollm = [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]
    deepseek = [thirds, rest, pre_tokenizers.ByteLevel(False, use_regex=False)]
    texts = [TEXTS["spaces before digits"], TEXTS["list"], "a  12", "\n\n3"]
    for at, steps in enumerate((smollm, deepseek)):
        source = write(tmp_path / f"source{at}", _trained(pre_tokenizers.Sequence(steps)))
        require_equal(source, Irs(source, tmp_path / f"out{at}"), texts)


def test_whole_words_come_before_merges(tmp_path: Path) -> None:
    """Llama 3.1 has 588 tokens that no merge reaches; `ignore_merges` finds them as whole words."""
    made = json.loads(_trained(pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(False)])).to_str())
    model = made["model"]
    size = len(model["vocab"])
    model["vocab"] |= {"\u0120zq\u0120": size, "\u0120vi\u00e1\u00bb\u0129c": size + 1, "wx": size + 2}
    model["ignore_merges"] = True
    source = write(tmp_path / "source", Tokenizer.from_str(json.dumps(made)))
    texts = ["a việc b", " việc", "việcs a việc", "wx", "awx wx wxx", " zq  zq", "it's 12  wx"]
    found = {i for text in texts for i in open_tokenizer(source)(text)["input_ids"]}
    assert {size + 1, size + 2} <= found  # else the test tests nothing
    require_equal(source, Irs(source, tmp_path / "out"), texts)


OTHER_MARKS = "\u0323\u0328\u0327\u031b\u0653\u0654\u0655\u064b\u064e\u0651\u05b4\u05bc\u05c1\u093c\u3099"
MARKS = [*map(chr, range(0x300, 0x33F)), *OTHER_MARKS]
LETTERS = [*"aeiouAEOdnsyzw", *"êâơưạøåäöñçậ", *"اويאבשאαωΩक", "한", "\u1100\u1161", "か", " ", "1"]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_marks_are_ordered_and_composed_as_unicode_says(form: str, tmp_path: Path) -> None:
    """A letter with up to two marks, in any order and composed in part."""
    made = _trained(pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(False)]))
    made.normalizer = getattr(normalizers, form)()
    source = write(tmp_path / "source", made)
    pick = random.Random(form)

    def word() -> str:
        return pick.choice(LETTERS) + "".join(pick.choices(MARKS, k=pick.choice([0, 1, 2])))

    texts = ["".join(word() for _ in range(3)) for _ in range(3000)]
    assert sum(unicodedata.normalize(form, text) != text for text in texts) > 500
    got, wanted = Irs(source, tmp_path / "out").encode_all(texts), open_tokenizer(source)(texts)["input_ids"]
    wrong = [text for text, one, other in zip(texts, got, wanted, strict=True) if one != other]
    assert not wrong, [f"{ord(char):X}" for char in wrong[0]]


@pytest.mark.slow
@pytest.mark.parametrize("name", real_tokenizers.REAL)
def test_real_tokenizers_are_exact(name: str, tmp_path: Path) -> None:
    """Awkward texts, every token of the vocabulary, and all added tokens."""
    source = real_tokenizers.checkpoint(name, tmp_path / "source")
    opened = open_tokenizer(source)
    whole = [text for text in opened.batch_decode([[i] for i in range(len(opened))]) if text and "\ufffd" not in text]
    lines = ["\n".join(whole[at : at + 256]) for at in range(0, len(whole), 256)]
    added = "".join(f"word {token} 字{token}\n" for token in opened.get_added_vocab())
    require_equal(source, Irs(source, tmp_path / "out"), [*TEXTS.values(), *lines, added])


def _trained(pre_tokenizer: Any) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizer, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    text = "a  12 b   345\n\n3 \t4 việt viec it's the quick  brown\n  fox zq wx "
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=alphabet, show_progress=False, special_tokens=["<s>"]
    )
    made.train_from_iterator([text] * 9, trainer)
    return made

import hashlib
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from edgeconv.builtin import model_path
from edgeconv.convert.gguf import pretokenizer
from edgeconv.convert.gguf.pretokenizer_digests import BY_DIGEST, NAMES
from edgeconv.core.errors import CheckpointError

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
WORDS = BYTES | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(expression, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": invert}


def named(*steps, ignore_merges=False, has_bos=True, normalizer=None):
    tokenizer = {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)},
        "normalizer": normalizer,
        "model": {"ignore_merges": ignore_merges},
    }
    return pretokenizer.choose(tokenizer, [1, 2, 3], has_bos=has_bos)


def test_table_of_digests():
    assert all(len(digest) == 64 for digest in BY_DIGEST)
    assert set(BY_DIGEST.values()) <= NAMES
    assert {name for names in pretokenizer.BY_SPLITTING.values() for name in vars(names).values() if name} <= NAMES


SCRIPT = Path(__file__).parents[3] / ".ci" / "pretokenizers.py"
TABLE = Path(pretokenizer.__file__).with_name("pretokenizers.json")
CONVERTER = """
class TextModel:
    def get_vocab_base_pre(self, tokenizer) -> str:
        chkhsh = sha256(str(tokenizer.encode("…")).encode()).hexdigest()
        res = None
        if chkhsh == "aa":
            # ref: https://huggingface.co/one
            res = "one"
        if chkhsh == "bb":
            res = "two"
        if chkhsh == "aa":
            res = "three"
        if chkhsh == "cc":
            res = "a word piece"
        if res is None:
            raise NotImplementedError
        return res
"""
LIBRARY = """
    if (tokenizer_pre == "two" ||
        tokenizer_pre=="one") { pre_type = ONE; }
    else if (tokenizer_pre == "three") { }
    if (tokenizer_model == "gpt2") { }
"""


def test_the_table_is_made_of_the_sources_of_llama_cpp(tmp_path):
    for name, text in {"conversion/base.py": CONVERTER, "src/llama-vocab.cpp": LIBRARY}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    git = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True)
    made = tmp_path / "made.json"
    run = lambda *more: subprocess.run([sys.executable, SCRIPT, tmp_path, made, *more], check=False)  # noqa: E731
    assert run().returncode == 0
    said = json.loads(made.read_text())
    assert said["digests"] == {"aa": "three", "bb": "two"}
    assert said["names"] == ["one", "three", "two"]
    assert len(said["commit"]) == 9
    assert run("--check").returncode == 0
    made.write_text(made.read_text().replace("two", "four"))
    assert run("--check").returncode == 1


def test_the_table_was_written_by_the_script():
    said = json.loads(TABLE.read_text("utf-8"))
    assert TABLE.read_text("utf-8") == runpy.run_path(str(SCRIPT), run_name="read")["text"](said)
    assert list(said) == ["commit", "digests", "names"]
    assert said["names"] == sorted(NAMES)
    assert len(said["digests"]) > 80


def test_a_known_digest_decides(monkeypatch):
    ids = [5, 6, 7]
    # the digest is that of `str(list)`, as Python writes it
    assert pretokenizer.digest(ids) == hashlib.sha256(b"[5, 6, 7]").hexdigest()
    monkeypatch.setitem(BY_DIGEST, pretokenizer.digest(ids), "tekken")
    assert pretokenizer.choose({"model": {}}, ids, has_bos=False) == "tekken"


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ((split(pretokenizer.LLAMA3), BYTES), "chatglm-bpe"),
        ((split(pretokenizer.QWEN2), BYTES), "qwen2"),
        ((split(pretokenizer.QWEN35), BYTES), "qwen35"),
        ((split(pretokenizer.GPT4O), BYTES), "gpt-4o"),
        ((split(pretokenizer.GPT4O, "Removed", True), BYTES), "gpt-4o"),
        ((WORDS,), "gpt-2"),
        ((DIGITS, WORDS), "smollm"),
    ],
)
def test_expressions_decide_where_the_digest_is_unknown(steps, name):
    assert named(*steps) == name


def test_whole_words_first_is_another_name():
    assert named(split(pretokenizer.LLAMA3), BYTES, ignore_merges=True) == "llama-bpe"
    assert named(split(pretokenizer.LLAMA3), BYTES, ignore_merges=True, has_bos=False) == "glm4"
    assert named(split(pretokenizer.TEKKEN), BYTES, ignore_merges=True) == "tekken"


def test_the_built_in_models_tokenizer_is_told_by_its_expression():
    assert pretokenizer.splitting(json.loads((model_path() / "tokenizer.json").read_text())["pre_tokenizer"]) == (
        pretokenizer.LLAMA3,
    )


@pytest.mark.parametrize(
    ("steps", "options", "said"),
    [
        ((split("[a-z]+"), BYTES), {}, r"not among the known ones: \[a-z\]\+"),
        ((split(pretokenizer.TEKKEN), BYTES), {}, "not among the known ones"),
        ((split(pretokenizer.QWEN2), BYTES), {"ignore_merges": True}, "not among the known ones"),
        ((WORDS | {"add_prefix_space": True},), {}, "space in front"),
        ((split(pretokenizer.QWEN2, "MergedWithNext"), BYTES), {}, "a step Split"),
        (({"type": "Digits", "individual_digits": False}, WORDS), {}, "a step Digits"),
        ((WORDS,), {"normalizer": {"type": "Lowercase"}}, "normalizer Lowercase"),
    ],
)
def test_unknown_ones_are_refused_and_the_option_is_named(steps, options, said):
    with pytest.raises(CheckpointError, match=said) as caught:
        named(*steps, **options)
    assert "--pre" in (caught.value.hint or "")

"""Tokenizers made of a GGUF's vocabulary: the ids, markers, ends and templates of the checkpoint's own."""

import json
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor

from edgeconv.builtin import model_path
from edgeconv.convert.gguf import pretokenizer
from edgeconv.convert.gguf.special_tokens import ends
from edgeconv.convert.gguf_source import tokenizer
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.validate.checks.corpus import TEXTS

from ...models import tiny_chatglm
from ..gguf import llama_cpp
from ..gguf.samples import config, keys, write_checkpoint, write_gguf
from .files import rewritten

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Hello,\n世界 "},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Bye"},
]


def loaded(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def require_the_same(given: Any, made: Any) -> None:
    for name, text in TEXTS.items():
        ids = given(text)["input_ids"]
        assert made(text)["input_ids"] == ids, name
        assert made(text, add_special_tokens=False)["input_ids"] == given(text, add_special_tokens=False)["input_ids"]
        assert made.decode(ids) == given.decode(ids), name
        assert made.decode(ids, skip_special_tokens=True) == given.decode(ids, skip_special_tokens=True), name


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as a GGUF."""
    path = tmp_path_factory.mktemp("builtin") / "a.gguf"
    write_gguf(model_path(), path, "q8_0")
    return path


def test_the_built_in_model_s(builtin: Path, builtin_model: Path) -> None:
    seen, original = open_checkpoint(builtin), open_checkpoint(builtin_model)
    given, made = loaded(builtin_model), loaded(seen.folder)
    require_the_same(given, made)
    assert made.chat_template == given.chat_template
    assert made.all_special_tokens == given.all_special_tokens
    for prompt in (False, True):
        wanted = given.apply_chat_template(CHAT, tokenize=True, add_generation_prompt=prompt)["input_ids"]
        assert made.apply_chat_template(CHAT, tokenize=True, add_generation_prompt=prompt)["input_ids"] == wanted
    assert (made.eos_token, made.pad_token) == (given.eos_token, given.pad_token)
    stated = {key: value for key, value in original.generation_config.items() if key != "transformers_version"}
    assert seen.generation_config == stated
    assert seen.config["eos_token_id"] == original.config["eos_token_id"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["llama", "glm"])
def test_smollm2_s(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.getfixturevalue(f"smollm2_{form}")
    write_gguf(source, tmp_path / "a.gguf", "q8_0")
    seen, original = open_checkpoint(tmp_path / "a.gguf"), open_checkpoint(source)
    given, made = loaded(source), loaded(seen.folder)
    require_the_same(given, made)
    assert made.chat_template == given.chat_template
    assert ends(seen.config, seen.generation_config) == ends(original.config, original.generation_config)


@pytest.mark.parametrize("options", [{}, {"add_dummy_prefix": False}, {"user_defined_symbols": "<n>,<|tab|>"}], ids=str)
def test_sentencepiece_s(options: dict[str, Any], tmp_path: Path) -> None:
    """The vocabulary is trained by sentencepiece, and so are the ids that are expected."""
    source, data = tmp_path / "source", tiny_chatglm.pieces(**options)
    original = SentencePieceProcessor(model_proto=data)
    write_checkpoint(source, config(vocab_size=original.vocab_size() + 8, eos_token_id=2))
    (source / "tokenizer.json").unlink()
    (source / "tokenizer.model").write_bytes(data)
    (source / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    write_gguf(source, tmp_path / "a.gguf", "f32")
    made = loaded(open_checkpoint(tmp_path / "a.gguf").folder)
    for name, text in TEXTS.items():
        if name == "looks like markup":  # markers are tokens here, as in llama.cpp; to sentencepiece they are text
            continue
        ids = original.encode(text)
        assert made(text)["input_ids"] == [1, *ids], name
        assert made.decode(ids) == original.decode(ids), name
    assert made("ab</s>")["input_ids"][-1] == 2


def splittings() -> dict[str, tuple[str, ...]]:
    """Name → expressions, from the table by which files are written."""
    table = pretokenizer.BY_SPLITTING
    return {
        name: parts
        for parts, names in table.items()
        for name in (names.plain, names.whole, names.whole_without_bos)
        if name
    }


@pytest.mark.parametrize("name", sorted(splittings()))
def test_what_a_pre_tokenizer_s_name_stands_for(name: str, builtin: Path, tmp_path: Path) -> None:
    """Each name that the writer may choose is read as the expressions for which it chooses it."""
    seen = open_checkpoint(rewritten_pre(builtin, tmp_path / "b.gguf", name))
    made = json.loads((seen.folder / "tokenizer.json").read_text())
    assert pretokenizer.splitting(made["pre_tokenizer"]) == splittings()[name]
    whole = {other for names in pretokenizer.BY_SPLITTING.values() for other in (names.whole, names.whole_without_bos)}
    assert made["model"]["ignore_merges"] == (name in whole)


def rewritten_pre(source: Path, out: Path, name: str) -> Path:
    return rewritten(source, out, {"tokenizer.ggml.pre": name})


AS_LLAMA_CPP = (
    "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "gpt-2", "mpt", "olmo",
    "exaone4", "trillion", "gigachat", "a.x-4.0", "mellum", "stablelm2", "megrez", "hunyuan", "grok-2", "deepseek-v3",
    "hunyuan-dense", "deepseek-coder", "seed-coder", "deepseek-r1-qwen", "dbrx", "smaug-bpe",
)  # fmt: skip
"""Names whose splitting llama.cpp has without an approximation."""
LATER = {"exaone4", "a.x-4.0", "mellum", "grok-2"}
"""Names that a build of llama.cpp may not have."""


@pytest.mark.parametrize("name", AS_LLAMA_CPP)
def test_a_name_s_tokenizer_gives_the_ids_of_llama_cpp(name: str, builtin: Path, tmp_path: Path) -> None:
    file = rewritten(builtin, tmp_path / "a.gguf", {"tokenizer.ggml.pre": name})
    made = loaded(open_checkpoint(file).folder)
    try:
        model = llama_cpp.load(file)
    except ValueError:
        assert name in LATER
        pytest.skip("this build of llama.cpp does not know the name")
    vocabulary = model.get_vocab()
    for key, text in TEXTS.items():
        if text and key != "looks like markup":
            wanted = list(vocabulary.tokenize(text, False, False))
            assert made(text, add_special_tokens=False)["input_ids"] == wanted, key


def test_every_name_is_one_of_llama_cpp_s() -> None:
    assert set(tokenizer._BY_NAME) <= pretokenizer.NAMES


def test_a_begin_token_is_put_in_front_if_the_file_says_so(builtin: Path, tmp_path: Path) -> None:
    for stated, pre, ids in ((True, "chatglm-bpe", [4085]), (False, "llama-bpe", []), (None, "llama-bpe", [4085])):
        keys = {"tokenizer.ggml.add_bos_token": stated, "tokenizer.ggml.bos_token_id": 4085, "tokenizer.ggml.pre": pre}
        seen = open_checkpoint(rewritten(builtin, tmp_path / f"{stated}.gguf", keys))
        assert loaded(seen.folder)("")["input_ids"] == ids


def test_an_end_of_turn_that_no_key_names_is_found_by_its_text(builtin: Path, tmp_path: Path) -> None:
    tokens = list(keys(builtin)["tokenizer.ggml.tokens"])
    tokens[4094] = "<|im_end|>"
    changed = {
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.eot_token_id": None, "tokenizer.ggml.eom_token_id": None,
    }  # fmt: skip
    seen = open_checkpoint(rewritten(builtin, tmp_path / "b.gguf", changed))
    assert seen.generation_config["eos_token_id"] == [4084, 4094]


def test_sampling_and_license_come_back(builtin: Path, tmp_path: Path) -> None:
    changed = {
        "general.sampling.temp": 0.6, "general.sampling.top_k": 20, "general.license": "mit",
        "general.base_model.0.repo_url": "https://huggingface.co/org/name",
    }  # fmt: skip
    seen = open_checkpoint(rewritten(builtin, tmp_path / "b.gguf", changed))
    assert seen.generation_config["do_sample"] is True
    assert (seen.generation_config["temperature"], seen.generation_config["top_k"]) == (0.6, 20)
    write_gguf(tmp_path / "b.gguf", tmp_path / "c.gguf", "q4_0")
    again = keys(tmp_path / "c.gguf")
    assert {key: again[key] for key in changed} == pytest.approx(changed)

"""The one door to a tokenizer: what tokenizer.json says, whatever class tokenizer_config.json names."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from edgeconv.core import tokenizer_files, tokenizer_rebuilt
from edgeconv.core.errors import CheckpointError
from edgeconv.core.hf_tokenizer import open_tokenizer

TEXT = "The quick brown fox, 12345 and 2024; it's  two   spaces. 日本語! x = 1\n\tdef f(x): return x\n"
TEXTS = [*tokenizer_rebuilt.TEXTS, TEXT, "", " ", "<s> a </s>"]
SPECIAL = ["<s>", "</s>", "<pad>"]


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE whose digits are tokens one by one, as SmolLM2's."""
    folder = tmp_path_factory.mktemp("byte-level")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [TEXT] * 9, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, special_tokens=SPECIAL)
    )
    made.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": made.get_vocab_size()}))
    return folder


def copy(source: Path, folder: Path, description: dict[str, Any] | None = None, **config: Any) -> Path:
    """Copy a tokenizer, with a tokenizer_config.json and fields of tokenizer.json of its own."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    stated = {"bos_token": "<s>", "eos_token": "</s>", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    whole = json.loads((folder / "tokenizer.json").read_text()) | (description or {})
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    return folder


CLASSES = [
    "LlamaTokenizerFast",
    "LlamaTokenizer",
    "GPT2TokenizerFast",
    "GPTNeoXTokenizerFast",
    "PreTrainedTokenizerFast",
]


@pytest.mark.parametrize("stated", [*CLASSES, None])
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "granite", "olmo2"])
def test_tokenizer_json_is_what_runs(stated: str | None, model_type: str, byte_level: Path, tmp_path: Path) -> None:
    """transformers 5 builds the pipeline of the class around the vocabulary, and drops spaces or joins digits."""
    folder = copy(byte_level, tmp_path, **({"tokenizer_class": stated} if stated else {}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
    wanted, got = Tokenizer.from_file(str(folder / "tokenizer.json")), open_tokenizer(folder)
    for text in TEXTS:
        ids = wanted.encode(text, add_special_tokens=False).ids
        assert got(text, add_special_tokens=False)["input_ids"] == ids
        assert got.decode(ids) == wanted.decode(ids, skip_special_tokens=False)


def test_where_transformers_differs_is_told(byte_level: Path, tmp_path: Path) -> None:
    folder = copy(byte_level, tmp_path, tokenizer_class="LlamaTokenizerFast")
    assert tokenizer_rebuilt.may_be(folder)
    assert tokenizer_rebuilt.asked(folder) == {"rebuilt": True}
    assert "AutoTokenizer (LlamaTokenizer) makes" in (tokenizer_rebuilt.difference(folder) or "")
    copy(byte_level, tmp_path, tokenizer_class="PreTrainedTokenizerFast")
    assert not tokenizer_rebuilt.may_be(folder)
    assert not tokenizer_rebuilt.is_rebuilt(folder)
    assert tokenizer_rebuilt.difference(folder) is None


def test_spaces_are_not_cleaned_up(byte_level: Path, tmp_path: Path) -> None:
    """Llama 3.1's tokenizer_config.json asks for it; no runtime does it."""
    opened = open_tokenizer(copy(byte_level, tmp_path, clean_up_tokenization_spaces=True))
    text = "a . b , it 's"
    assert opened.decode(opened(text, add_special_tokens=False)["input_ids"]) == text


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
PUTS_END = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
}


@pytest.mark.parametrize(
    ("processor", "flags", "around"),
    [
        (None, {}, ([], [])),
        (None, {"add_bos_token": True}, ([0], [])),
        (BYTE_LEVEL, {"add_bos_token": True, "add_eos_token": True}, ([0], [1])),
        (BYTE_LEVEL, {"add_bos_token": False}, ([], [])),
        (PUTS_END, {}, ([], [1])),
        (PUTS_END, {"add_bos_token": True, "add_eos_token": False}, ([], [1])),
        ({"type": "Sequence", "processors": [BYTE_LEVEL, PUTS_END]}, {"add_bos_token": True}, ([], [1])),
    ],
)
def test_what_stands_around_a_text_in_all_formats(
    processor: Any, flags: dict[str, bool], around: tuple[list[int], list[int]], byte_level: Path, tmp_path: Path
) -> None:
    """The post-processor says it, or, where none puts tokens, the flags; GGUF, IR and ONNX agree."""
    from edgeconv.convert import tokenizer_copy
    from edgeconv.convert.gguf import tokenizer

    folder = copy(byte_level, tmp_path, {"post_processor": processor}, **flags)
    opened = open_tokenizer(folder)
    bare = opened("a", add_special_tokens=False)["input_ids"]
    before, after = around
    assert opened("a")["input_ids"] == [*before, *bare, *after]
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    made = tokenizer.read(folder, size, {"eos_token_id": 1}, {}, pre="smollm")
    assert made.flags == {"add_bos_token": bool(before), "add_eos_token": bool(after)}
    written = tokenizer_copy.written(folder)
    copied = Tokenizer.from_str(written.get("tokenizer.json", (folder / "tokenizer.json").read_text()))
    assert copied.encode("a").ids == [*before, *bare, *after]


def beyond(source: Path, folder: Path, **config: Any) -> Path:
    """A tokenizer with a token more than the model has rows."""
    copy(source, folder, **config)
    whole = Tokenizer.from_file(str(folder / "tokenizer.json"))
    whole.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    whole.save(str(folder / "tokenizer.json"))
    return folder


def test_a_token_without_a_row_is_left_out(byte_level: Path, tmp_path: Path) -> None:
    """Gemma 3's <image_soft_token>: text models have no row for it."""
    folder = beyond(byte_level, tmp_path, extra_special_tokens={"image_token": "<image>"}, image_token="<image>")
    opened = open_tokenizer(folder)
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert len(opened) == rows
    assert "<image>" not in opened.get_vocab()
    assert max(opened("a <image> b")["input_ids"]) < rows
    (note,) = tokenizer_files.read(folder).notes()
    assert f"{rows} <image>" in note


@pytest.mark.parametrize(
    ("config", "model", "said"),
    [
        ({"chat_template": "{{ '<image>' }}"}, {}, "the chat template writes it"),
        ({"eos_token": "<image>"}, {}, "takes it as eos_token"),
        ({}, {"image_token_index": "N"}, "config.json names it"),
        ({}, {"vocab_size": 300}, "has only 300 rows"),
    ],
)
def test_a_token_that_is_needed_is_refused(
    config: dict[str, Any], model: dict[str, Any], said: str, byte_level: Path, tmp_path: Path
) -> None:
    folder = beyond(byte_level, tmp_path, **config)
    stated = json.loads((folder / "config.json").read_text())
    numbers = {key: stated["vocab_size"] if value == "N" else value for key, value in model.items()}
    (folder / "config.json").write_text(json.dumps(stated | numbers))
    with pytest.raises(CheckpointError, match=said):
        open_tokenizer(folder)


def test_a_role_whose_text_is_no_token_gets_none(byte_level: Path, tmp_path: Path) -> None:
    """transformers would make a token of it, with an id that the model has no row for."""
    opened = open_tokenizer(copy(byte_level, tmp_path, pad_token="[PAD]", additional_special_tokens=["<x>"]))
    assert (opened.pad_token_id, opened.eos_token_id) == (None, 1)
    assert len(opened) == json.loads((tmp_path / "config.json").read_text())["vocab_size"]


def test_special_tokens_as_objects(byte_level: Path, tmp_path: Path) -> None:
    entry = {"__type": "AddedToken", "content": "<pad>", "lstrip": False, "normalized": True, "rstrip": False}
    opened = open_tokenizer(copy(byte_level, tmp_path, pad_token=entry))
    assert (opened.pad_token, opened.pad_token_id) == ("<pad>", 2)


def test_templates_wherever_they_stand(byte_level: Path, tmp_path: Path) -> None:
    folder = copy(byte_level, tmp_path)
    (folder / "chat_template.json").write_text('{"chat_template": "old"}')
    assert open_tokenizer(folder).chat_template == "old"
    copy(byte_level, tmp_path, chat_template=[{"name": "rag", "template": "r"}])
    assert open_tokenizer(folder).chat_template == {"rag": "r"}
    assert "(rag)" in tokenizer_files.read(folder).notes()[0]
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("t")
    (folder / "chat_template.jinja").write_text("d")
    assert open_tokenizer(folder).chat_template == {"default": "d", "tool_use": "t"}

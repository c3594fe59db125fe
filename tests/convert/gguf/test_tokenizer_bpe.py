import json
import shutil

import pytest

from edgeconv.builtin import model_path
from edgeconv.convert.gguf import tokenizer
from edgeconv.convert.gguf.vocabulary import TokenType
from edgeconv.core.errors import CheckpointError, UsageError

GLM_ENDS = {"eos_token_id": [4084, 4091, 4093]}


@pytest.fixture
def folder(tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(model_path() / name, tmp_path / name)
    return tmp_path


def change(folder, name="tokenizer.json", **fields):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def read(folder, size=4096, config=GLM_ENDS, **options):
    return tokenizer.read(folder, size, config, {}, **options)


def test_built_in_tokenizer(folder):
    made = read(folder, size=4100)
    given = json.loads((folder / "tokenizer.json").read_text())
    assert (made.model, made.pre) == ("gpt2", "chatglm-bpe")
    assert made.tokens[:3] == ["!", '"', "#"]
    assert made.tokens[4084:4087] == ["<|endoftext|>", "[MASK]", "[gMASK]"]
    assert made.tokens[4096:] == ["[PAD4096]", "[PAD4097]", "[PAD4098]", "[PAD4099]"]
    assert made.types[0] == TokenType.NORMAL
    assert set(made.types[4084:4096]) == {TokenType.CONTROL}
    assert set(made.types[4096:]) == {TokenType.UNUSED}
    assert made.merges == [" ".join(pair) for pair in given["model"]["merges"]]
    assert made.special == {"eos": 4084, "pad": 4084, "eot": 4091, "eom": 4093}
    assert made.flags == {"add_bos_token": False, "add_eos_token": False}
    assert made.templates == {"default": (model_path() / "chat_template.jinja").read_text()}
    assert made.notes == ()


def test_merges_of_old_files_and_parts_with_spaces(folder):
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    change(folder, model=model | {"merges": [f"{left} {right}" for left, right in model["merges"]]})
    old = read(folder).merges
    change(folder, model=model)
    assert read(folder).merges == old
    from edgeconv.convert.gguf.tokenizer_bpe import merges

    assert merges({"merges": [["a b", "c"]]}) == ["aĠb c"]
    with pytest.raises(CheckpointError, match="merges"):
        merges({"merges": [["a", "b", "c"]]})


def test_added_tokens_that_are_not_special(folder):
    """What looks like a marker is one, as llama.cpp's converter has it; other added tokens are text."""
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    change(
        folder,
        added_tokens=[
            *added,
            added[0] | {"id": 4096, "content": "<|fim|>", "special": False},
            added[0] | {"id": 4097, "content": "<think>", "special": False},
        ],
    )
    made = read(folder, size=4098)
    assert made.tokens[4096:] == ["<|fim|>", "<think>"]
    assert made.types[4096:] == [TokenType.CONTROL, TokenType.USER_DEFINED]


def template(before=(), after=()):
    pieces = [*before, None, *after]
    single = [
        {"SpecialToken": {"id": t, "type_id": 0}} if t else {"Sequence": {"id": "A", "type_id": 0}} for t in pieces
    ]
    ids = {"<sop>": 4088, "[gMASK]": 4086, "<|endoftext|>": 4084}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {t: {"id": t, "ids": [n], "tokens": [t]} for t, n in ids.items()},
    }


def test_what_stands_around_a_text_is_what_the_tokenizer_does(folder):
    change(folder, post_processor=template(["<sop>"], ["<|endoftext|>"]))
    change(folder, "tokenizer_config.json", bos_token="<sop>")
    made = read(folder)
    assert made.flags == {"add_bos_token": True, "add_eos_token": True}
    assert made.special["bos"] == 4088
    change(folder, "tokenizer_config.json", add_bos_token=False)  # the post-processor is what runs
    assert read(folder).flags == {"add_bos_token": True, "add_eos_token": True}


@pytest.mark.parametrize("processor", [None, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}])
def test_without_a_post_processor_that_puts_tokens_the_flags_say_it(processor, folder):
    change(folder, post_processor=processor)
    change(folder, "tokenizer_config.json", bos_token="<sop>", add_bos_token=True)
    assert read(folder).flags == {"add_bos_token": True, "add_eos_token": False}
    change(folder, "tokenizer_config.json", add_bos_token=None, add_eos_token=True)
    assert read(folder).flags == {"add_bos_token": False, "add_eos_token": True}


def test_a_prefix_that_llama_cpp_cannot_put_is_noted(folder):
    change(folder, post_processor=template(["[gMASK]", "<sop>"]))
    made = read(folder)
    assert made.flags["add_bos_token"] is False
    assert "[4086, 4088] in front of" in made.notes[0]


def test_template_files_come_before_tokenizer_config(folder):
    change(folder, "tokenizer_config.json", chat_template="inside")
    assert read(folder).templates["default"].startswith("{% for item")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    assert read(folder).templates["tool_use"] == "tools"
    shutil.rmtree(folder / "additional_chat_templates")
    (folder / "chat_template.jinja").unlink()
    assert read(folder).templates == {"default": "inside"}
    named = [{"name": "default", "template": "d"}, {"name": "rag", "template": "r"}]
    change(folder, "tokenizer_config.json", chat_template=named)
    made = read(folder)
    assert made.templates == {"default": "d", "rag": "r"}
    assert made.keys()["tokenizer.chat_template.rag"].content == "r"
    assert made.keys()["tokenizer.chat_templates"].content == ["rag"]
    change(folder, "tokenizer_config.json", chat_template=None)
    assert read(folder).templates == {}
    (folder / "chat_template.json").write_text('{"chat_template": "old"}')
    assert read(folder).templates == {"default": "old"}


def test_more_tokens_than_rows(folder):
    with pytest.raises(CheckpointError, match=r"has a token \d+, but .* only 4000 rows"):
        read(folder, size=4000)
    with pytest.raises(CheckpointError, match=r"token 4090 .* only 4090 rows, and the chat template writes it"):
        read(folder, size=4090)


def test_two_tokens_of_one_text_would_stop_llama_cpp(folder):
    change(folder, "tokenizer_config.json", added_tokens_decoder={"4094": {"content": "[MASK]", "special": True}})
    with pytest.raises(CheckpointError, match=r"two tokens '\[MASK\]'"):
        read(folder)


def test_nfc_is_noted(folder):
    change(folder, normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]})
    assert "NFC" in read(folder).notes[0]


def test_an_empty_normalizer_is_none(folder):
    """DeepSeek's; with another splitting than any that llama.cpp's converter knows by its digest."""
    change(folder, normalizer={"type": "Sequence", "normalizers": []})
    made = read(folder)
    assert (made.pre, made.notes) == ("chatglm-bpe", ())


def test_forced_pre_tokenizer(folder):
    assert read(folder, pre="qwen2").pre == "qwen2"
    with pytest.raises(UsageError, match="no pre-tokenizer 'qwen9'"):
        read(folder, pre="qwen9")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": {"type": "WordLevel", "vocab": {}, "unk_token": "a"}}, "neither a byte-level BPE nor"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}, "cannot be loaded"),
        ({"added_tokens": [{"id": "x"}]}, "added tokens"),
    ],
)
def test_damaged_or_foreign_tokenizers_are_refused(fields, said, folder):
    change(folder, **fields)
    with pytest.raises(CheckpointError, match=said):
        read(folder)


def test_no_tokenizer(tmp_path):
    with pytest.raises(CheckpointError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        read(tmp_path)

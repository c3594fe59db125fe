"""What an artifact gets of the tokenizer's files: plain texts, all templates, no token without a row, the file's own pipeline."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from edgeconv.convert import conversion, tokenizer_copy
from edgeconv.convert.onnx.assets import genai_config, tokenizer_ends
from edgeconv.core.tokenizer_rebuilt import TEXTS
from edgeconv.quantize.scheme import Request

from ..models import real_tokenizers

Maker = Callable[..., Path]
END = {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False}
TOOLS = "{% for m in messages %}TOOLS{{ m.content }}{% endfor %}"


@pytest.fixture
def source(tiny_model: Maker, tmp_path: Path) -> Path:
    """A Llama with the built-in model's tokenizer."""
    return Path(shutil.copytree(tiny_model("llama"), tmp_path / "source"))


def state(folder: Path, **fields: Any) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def convert(source: Path, target: str, out: Path) -> Path:
    """Convert to a format in which the tokenizer's files are copied."""
    if target == "openvino":
        return conversion.run(conversion.Job(str(source), output=out, request=Request("int8"))).path
    return conversion.run(conversion.OnnxJob(str(source), output=out, request=Request("int8"))).path


def test_right_files_are_copied_to_the_byte(source: Path) -> None:
    assert tokenizer_copy.written(source) == {}
    assert tokenizer_copy.notes(source) == []


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_objects_become_texts_and_named_templates_come_along(target: str, source: Path, tmp_path: Path) -> None:
    """As in DeepSeek's and Llama 2's files, and Hermes 3's templates; openvino_genai opens the result."""
    from transformers import AutoTokenizer

    state(source, eos_token=END, pad_token=END, additional_special_tokens=[END])
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates" / "tool_use.jinja").write_text(TOOLS)
    made = convert(source, target, tmp_path / "out")
    stated = json.loads((made / "tokenizer_config.json").read_text())
    assert (stated["eos_token"], stated["pad_token"]) == ("<|endoftext|>", "<|endoftext|>")
    assert stated["additional_special_tokens"] == ["<|endoftext|>"]
    loaded: Any = AutoTokenizer.from_pretrained(made)
    assert loaded.chat_template["tool_use"] == TOOLS
    assert loaded.eos_token_id == 4084
    if target == "openvino":
        import openvino_genai

        opened = openvino_genai.Tokenizer(str(made))
        assert opened.get_eos_token_id() == 4084
        assert "<|user|>" in opened.apply_chat_template([{"role": "user", "content": "a"}], add_generation_prompt=True)


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_who_opens_the_artifact_with_transformers_gets_the_files_tokenizer(
    target: str, source: Path, tmp_path: Path
) -> None:
    """DeepSeek's layout: a byte-level BPE whose class is LlamaTokenizerFast, and a begin token that only a flag puts."""
    from transformers import AutoTokenizer

    vocabulary = 400
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"])
    made.train_from_iterator([*TEXTS] * 3, trainer)
    made.save(str(source / "tokenizer.json"))
    (source / "chat_template.jinja").unlink()
    stated = {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}
    (source / "tokenizer_config.json").write_text(json.dumps(stated))
    out = convert(source, target, tmp_path / "out")
    loaded: Any = AutoTokenizer.from_pretrained(out)
    for text in TEXTS:
        assert loaded(text)["input_ids"] == [0, *made.encode(text).ids], text
    manifest = json.loads((out / "edgeconv.json").read_text())
    assert any("transformers 5 builds another tokenizer for LlamaTokenizerFast" in note for note in manifest["notes"])
    if target == "openvino":
        import openvino_genai

        ids = openvino_genai.Tokenizer(str(out)).encode(TEXTS[0]).input_ids.data
        assert [int(i) for i in ids.reshape(-1)] == [0, *made.encode(TEXTS[0]).ids]


def test_a_token_without_a_row_is_in_no_file(source: Path, tmp_path: Path) -> None:
    whole = Tokenizer.from_file(str(source / "tokenizer.json"))
    whole.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    whole.save(str(source / "tokenizer.json"))
    (source / "added_tokens.json").write_text('{"<image>": 4096}')
    state(source, image_token="<image>", added_tokens_decoder={"4096": {"content": "<image>"}})
    made = convert(source, "openvino", tmp_path / "out")
    for path in [*made.glob("*.json"), *made.glob("*tokenizer.xml")]:
        if path.name != "edgeconv.json":
            assert "<image>" not in path.read_text(), path.name
    (note,) = [n for n in json.loads((made / "edgeconv.json").read_text())["notes"] if "4096 <image>" in n]
    assert note.endswith("left out")


class Sizes:
    """Of a model."""

    vocab_size, head_dim, hidden_size, num_heads, num_layers, num_kv_heads = 9, 1, 2, 2, 1, 1
    remembering, states = (0,), ()


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ({"eos_token_id": 7}, (7, 7, 7)),
        ({"eos_token_id": [7, 8], "pad_token_id": [5, 6]}, (7, [7, 8], 5)),
        ({"eos_token_id": -1, "bos_token_id": -1}, (4, 4, 4)),
        ({"eos_token_id": None, "pad_token_id": 0}, (4, 4, 0)),
        ({}, (4, 4, 4)),
    ],
)  # fmt: skip
def test_ids_as_onnxruntime_genai_takes_them(stated: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    made = genai_config(stated, {"top_k": -1, "temperature": 1.0}, Sizes(), [4])
    assert tuple(made["model"][f"{role}_token_id"] for role in ("bos", "eos", "pad")) == wanted
    assert made["search"]["top_k"] == 0


def test_an_end_that_only_the_tokenizer_states(source: Path) -> None:
    """gemma-3-270m: no config names one, and onnxruntime-genai asks no tokenizer."""
    assert tokenizer_ends(source) == [4084]
    state(source, eos_token=None)
    assert tokenizer_ends(source) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", real_tokenizers.REAL)
def test_real_tokenizers_load_right_everywhere(name: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from edgeconv.core.hf_tokenizer import open_tokenizer

    source = real_tokenizers.checkpoint(name, tmp_path / "source")
    wanted = open_tokenizer(source)
    for target in ("openvino", "onnx"):
        made = convert(source, target, tmp_path / target)
        loaded: Any = AutoTokenizer.from_pretrained(made)
        own = Tokenizer.from_file(str(made / "tokenizer.json"))
        for text in [*TEXTS, "<image_soft_token> a"]:
            ids = wanted(text)["input_ids"]
            assert loaded(text)["input_ids"] == own.encode(text).ids == ids, text
            assert max(ids) < json.loads((source / "config.json").read_text())["vocab_size"]

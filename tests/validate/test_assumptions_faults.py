"""One planted fault, one wrong row: the one that a person would look for."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core.errors import CheckpointError

from .assumed import (
    CONFIG,
    GENERATION,
    TOKENIZER,
    Change,
    both,
    edit,
    named,
    of_status,
    remove,
    replace,
    report,
    rows,
    tensors,
    write,
)

Maker = Callable[..., Path]
Fault = tuple[Change, str, str]
"""What is done to the folder, the row that must be wrong, and what it must have found (a regular expression)."""
NORM = "model.norm.weight"
EOS = "tokens: eos_token_id in "
ADAPTER = "model.vision.adapter."


def more_tokens(folder: Path) -> None:
    """One that the chat template writes: it cannot be left out."""
    content = json.loads((folder / TOKENIZER).read_text("utf-8"))
    content["added_tokens"].append({**content["added_tokens"][-1], "id": 4096, "content": "<|new|>"})
    (folder / TOKENIZER).write_text(json.dumps(content), "utf-8")
    with (folder / "chat_template.jinja").open("a") as file:
        file.write("<|new|>")


def put(name: str, *shape: int, dtype: str = "bfloat16") -> Change:
    def add(stored: dict[str, Any]) -> None:
        import torch  # not while tests are collected

        stored[name] = torch.zeros(shape, dtype=getattr(torch, dtype))

    return tensors(add)


def take(name: str) -> Change:
    return tensors(lambda stored: stored.pop(name))


TEXT: dict[str, Fault] = {
    "a missing tensor": (take(NORM), "tensors: names", "1 missing: model.norm.weight"),
    "an extra tensor": (put("model.extra.weight", 4), "tensors: left over", "1: model.extra.weight"),
    "a wrong shape": (put(NORM, 65), "tensors: shapes", r"model.norm.weight \[65\] instead of \[64\]"),
    "a type that is not read": (put(NORM, 64, dtype="int32"), "tensors: types", r"I32 \(1\)"),
    "a layer more in the config": (edit(CONFIG, num_hidden_layers=3), "tensors: names", "8 missing: .* and 5 more"),
    "a layer less in the config": (edit(CONFIG, num_hidden_layers=1), "tensors: left over", "8: .* and 5 more"),
    "biases by default": (edit(CONFIG, attention_bias=None), "tensors: names", "6 missing: .*q_proj.bias"),
    "a vocabulary too large": (more_tokens, "tokens: vocabulary", "token 4096 .* the chat template writes it"),
    "another token for a role": (
        replace(TOKENIZER, "<|assistant|>", "<|helper|>"), "tokens: role tokens", r"\d+\+\d+.* <\|assistant\|>",
    ),
    "an end that is another token": (edit(CONFIG, eos_token_id=[4000, 4091, 4093]), EOS + CONFIG, "^4000 "),
    "an end that is not a token": (
        edit(GENERATION, eos_token_id=[4084, 4091, 4093, 9999]), EOS + GENERATION, r"9999 \(no token\)",
    ),
    "an answer without an end": (edit(GENERATION, eos_token_id=4084), EOS + GENERATION, "^4084 <.endoftext.>$"),
    "an end that is a word": (edit(CONFIG, eos_token_id="<|user|>"), EOS + CONFIG, "which is not an id"),
    "no end": (
        both(edit(CONFIG, eos_token_id=None), edit(GENERATION, eos_token_id=None)), "tokens: eos_token_id", "no file",
    ),
    "padding that is not a token": (edit(CONFIG, pad_token_id=5000), "tokens: other ids in config.json", "5000"),
    "no tokenizer": (remove(TOKENIZER), "tokens: tokenizer", "no tokenizer files"),
    "a damaged tokenizer": (write(TOKENIZER, "{"), "tokens: tokenizer", "not valid JSON"),
    "a tokenizer of another kind": (write(TOKENIZER, "{}"), "tokens: tokenizer", "cannot be opened"),
    "no template": (remove("chat_template.jinja"), "template: chat template", "^none$"),
    "a template that is not a text": (
        both(remove("chat_template.jinja"), edit("tokenizer_config.json", chat_template=5)),
        "template: chat template", "not a text",
    ),
    "a template that breaks off": (
        write("chat_template.jinja", "{% for x in messages %}"), "template: plain conversation", "cannot be rendered",
    ),
    "a template that leaves out answers": (
        replace("chat_template.jinja", "'assistant'", "'model'"), "template: plain conversation", "'Rome.' is left out",
    ),
    "a template that opens no answer": (
        replace("chat_template.jinja", "if add_generation_prompt", "if add_generation_prompt and false"),
        "template: plain conversation", "no answer is opened",
    ),
    "a type that nobody knows": (
        edit(CONFIG, model_type="banana"), "engine: engine", "has no text-generation export for banana",
    ),
    "a type that optimum-intel caps": (edit(CONFIG, model_type="mamba"), "engine: engine", "only under transformers up to"),
    "a config that leaves out a size": (edit(CONFIG, hidden_size=None), "engine: engine", "does not state hidden_size"),
}  # fmt: skip
VISION_FAULTS: dict[str, Fault] = {
    "another placeholder": (edit(CONFIG, boi_token_id=4095), "pictures: boi_token_id", r"^4095 <\|end_of_image\|>$"),
    "a tokenizer without it": (
        replace(TOKENIZER, "<|begin_of_image|>", "<|picture|>"), "pictures: boi_token_id", "is encoded as",
    ),
    "another end": (edit(CONFIG, eoi_token_id=4094), "pictures: eoi_token_id", r"^4094 <\|begin_of_image\|>$"),
    "one placeholder short": (replace("tokenizer_config.json", "range(6)", "range(5)"), "pictures: image tokens", "writes 5"),
    "the published number": (
        replace("tokenizer_config.json", "range(6)", "range(578)"), "pictures: image tokens", "writes 578",
    ),
    "no template": (edit("tokenizer_config.json", chat_template=None), "template: chat template", "^none$"),
    "pictures of another size": (
        edit("preprocessor_config.json", size={"height": 28, "width": 28}), "pictures: image size", "^28 px$",
    ),
    "no preparation": (remove("preprocessor_config.json"), "pictures: preprocessor_config.json", "missing"),
    "no mean": (edit("preprocessor_config.json", image_mean=None), "pictures: preprocessor_config.json", "image_mean"),
    "tiles": (edit("preprocessor_config.json", max_image_tiles=4), "pictures: preprocessor_config.json", "max_image_tiles 4"),
    "a missing tensor": (take(ADAPTER + "boi"), "tensors: names", "1 missing: model.vision.adapter.boi"),
    "an extra tensor": (put(ADAPTER + "scale", 1), "tensors: left over", "1: model.vision.adapter.scale"),
    "a wrong shape": (put(ADAPTER + "eoi", 1, 64), "tensors: shapes", r"eoi \[1, 64\] instead of \[1, 1, 64\]"),
    "a picture of another size in the config": (
        edit(CONFIG, vision_config={"hidden_size": 32, "image_size": 84, "intermediate_size": 48, "num_hidden_layers": 2,
                                    "num_attention_heads": 2, "patch_size": 14, "model_type": "siglip_vision_model"}),
        "tensors: shapes", r"position_embedding.weight \[16, 32\] instead of \[36, 32\]",
    ),
    "no tower in the config": (edit(CONFIG, vision_config=None), "engine: engine", "no vision_config"),
    "no placeholder in the config": (edit(CONFIG, boi_token_id=None), "engine: engine", "does not state boi_token_id"),
    "no tower in the weights": (
        tensors(lambda stored: [stored.pop(name) for name in list(stored) if "vision" in name]),
        "engine: engine", "no tensor's name begins with model.vision.",
    ),
    "an end that is another token": (
        edit(GENERATION, eos_token_id=[4084, 4092, 4093]), EOS + GENERATION, r"4092 <\|assistant\|>",
    ),
}  # fmt: skip
LLAMA: dict[str, Fault] = {
    "an end that the tokenizer calls otherwise": (edit(GENERATION, eos_token_id=4091), EOS + GENERATION, r"^4091 <\|user\|>$"),
    "an end that is an ordinary token": (edit(CONFIG, eos_token_id=[4084, 100]), EOS + CONFIG, "100 "),
    "no end at all": (
        both(*(edit(file, eos_token_id=None) for file in (CONFIG, GENERATION)), edit("tokenizer_config.json", eos_token=None)),
        "tokens: eos_token_id", "no file states one",
    ),
}  # fmt: skip
ALSO = {"a picture of another size in the config": ["pictures: image tokens", "pictures: image size"]}
"""A config that is wrong as a whole shows in several rows."""


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    return lambda source: shutil.copytree(source, tmp_path / "model")


def assert_found(folder: Path, name: str, fault: Fault) -> None:
    change, expected, says = fault
    change(folder)
    found = report(folder)
    by_name = named(found)
    assert [n for n, row in by_name.items() if row.status == "wrong"] == [expected, *ALSO.get(name, [])]
    assert re.search(says, by_name[expected].found), by_name[expected].found
    assert not found.sound


@pytest.mark.parametrize("name", TEXT)
def test_a_text_model(name: str, tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    assert_found(copy(tiny_model("glm")), name, TEXT[name])


@pytest.mark.parametrize("name", VISION_FAULTS)
def test_a_model_that_sees(name: str, tiny_vision_model: Maker, copy: Callable[[Path], Path]) -> None:
    assert_found(copy(tiny_vision_model()), name, VISION_FAULTS[name])


@pytest.mark.parametrize("name", LLAMA)
def test_another_family(name: str, tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    assert_found(copy(tiny_model("llama")), name, LLAMA[name])


def test_custom_code_is_needed_and_refused(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    edit(CONFIG, model_type="own", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})(folder)
    (folder / "modeling_own.py").write_text("raise SystemExit('it was run')")
    assert of_status(folder, "wrong") == ["engine: engine", "engine: custom code"]
    assert "transformers itself" in rows(folder)["engine: custom code"].note


@pytest.mark.parametrize("changes", [{"eos_token_id": [[4084]]}, {"eos_token_id": True}, {"pad_token_id": "x"}])
def test_ids_of_other_kinds_are_shown_not_raised(
    changes: dict[str, Any], tiny_model: Maker, copy: Callable[[Path], Path]
) -> None:
    folder = copy(tiny_model("llama"))
    edit(CONFIG, **changes)(folder)
    (wrong,) = of_status(folder, "wrong")
    assert "which is not an id" in rows(folder)[wrong].found


def test_what_cannot_be_opened_at_all_is_an_error(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="truncated"):
        report(folder)
    path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"not a whole file of torch\.save"):
        report(folder)

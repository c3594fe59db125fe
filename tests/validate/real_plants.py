"""Faults of real tokenizers: each changes one thing in the files of a finished artifact, or in the keys of a finished GGUF."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Content = dict[str, Any]
_BYTE_LEVEL = ("llama3_1", "qwen3", "gptoss", "deepseek_v3")
_SPACES = ("llama2", "gemma3")


@dataclass(frozen=True)
class Plant:
    """A fault.

    Attributes:
        change: plants it into a folder's files.
        kinds: the real tokenizers that can have it.
        no_gguf: those of them whose GGUF has no place for it, so that llama.cpp does the same with it and without.
        check: that must see it.
    """

    change: Callable[[Path], None]
    kinds: tuple[str, ...]
    no_gguf: tuple[str, ...] = ()
    check: str = "tokens"


def _json(folder: Path, name: str, change: Callable[[Content], None]) -> None:
    path = folder / name
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


def _tokenizer(change: Callable[[Content], None]) -> Callable[[Path], None]:
    return lambda folder: _json(folder, "tokenizer.json", change)


def merges_swapped(content: Content) -> None:
    """Let a late merge come before the first ones; ( + t) is among the first of all of these vocabularies."""
    merges = content["model"]["merges"]
    merges[2], merges[4000] = merges[4000], merges[2]


def vocabulary_swapped(content: Content) -> None:
    """Let two words change their ids."""
    vocabulary = content["model"]["vocab"]
    one, other = (next(token for token, number in vocabulary.items() if number == wanted) for wanted in (1000, 2000))
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]


def added_moved(folder: Path) -> None:
    """Let two added tokens change their ids, in both files."""

    def listed(content: Content) -> None:
        tokens = content.get("added_tokens_decoder", {})
        if {"1", "2"} <= tokens.keys():
            tokens["1"], tokens["2"] = tokens["2"], tokens["1"]
        elif tokens:
            content.pop("added_tokens_decoder")

    _json(folder, "tokenizer.json", _moved)
    _json(folder, "tokenizer_config.json", listed)


def _moved(content: Content) -> None:
    first, second = content["added_tokens"][1], content["added_tokens"][2]
    first["content"], second["content"] = second["content"], first["content"]
    vocabulary = content["model"]["vocab"]
    for token in (first, second):
        if token["content"] in vocabulary:
            vocabulary[token["content"]] = token["id"]


def normalizer_removed(content: Content) -> None:
    content["normalizer"] = None


def begin_flipped(folder: Path) -> None:
    """Take away what is put in front of a text, or put the first added token there."""
    _json(folder, "tokenizer.json", _other_begin)
    _json(folder, "tokenizer_config.json", lambda c: c.pop("add_bos_token", None))


def _other_begin(content: Content) -> None:
    if "TemplateProcessing" in json.dumps(content["post_processor"]):
        content["post_processor"] = None
        return
    token = content["added_tokens"][0]
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    before = {"SpecialToken": {"id": token["content"], "type_id": 0}}
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [before, sequence],
        "pair": [before, sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            token["content"]: {"id": token["content"], "ids": [token["id"]], "tokens": [token["content"]]}
        },
    }


def special_flipped(folder: Path) -> None:
    """Call the last special token none, in both files."""
    found: list[int] = []

    def plain(content: Content) -> None:
        token = [token for token in content["added_tokens"] if token["special"]][-1]
        token["special"] = False
        found.append(token["id"])

    _json(folder, "tokenizer.json", plain)
    listed = str(found[0])
    _json(folder, "tokenizer_config.json", lambda c: c.get("added_tokens_decoder", {}).pop(listed, None))


def prefix_removed(content: Content) -> None:
    steps = content["normalizer"]["normalizers"]
    content["normalizer"]["normalizers"] = [step for step in steps if step["type"] != "Prepend"]


def prefix_added(content: Content) -> None:
    steps = content["pre_tokenizer"]["pretokenizers"]
    next(step for step in steps if step["type"] == "ByteLevel")["add_prefix_space"] = True


def stop_dropped(folder: Path) -> None:
    """End answers with a word."""
    for name in ("generation_config.json", "config.json"):
        _json(folder, name, lambda content: content.update(eos_token_id=1000))


def tools_altered(folder: Path) -> None:
    def change(content: Content) -> None:
        assert "<tool_response>" in content["chat_template"]
        content["chat_template"] = content["chat_template"].replace("<tool_response>", "<tool_result>")

    _json(folder, "tokenizer_config.json", change)


PLANTS: dict[str, Plant] = {
    "merges swapped": Plant(_tokenizer(merges_swapped), (*_BYTE_LEVEL, *_SPACES)),
    "vocabulary swapped": Plant(_tokenizer(vocabulary_swapped), (*_BYTE_LEVEL, *_SPACES)),
    "added token moved": Plant(added_moved, (*_BYTE_LEVEL, *_SPACES)),
    # llama.cpp normalizes no byte-level vocabulary, whatever a file says
    "normalizer removed": Plant(_tokenizer(normalizer_removed), ("qwen3", "llama2"), ("qwen3",)),
    "begin flipped": Plant(begin_flipped, (*_BYTE_LEVEL, *_SPACES)),
    "special flag flipped": Plant(special_flipped, (*_BYTE_LEVEL, "gemma3")),
    "prefix removed": Plant(_tokenizer(prefix_removed), ("llama2",)),
    "prefix added": Plant(_tokenizer(prefix_added), _BYTE_LEVEL),  # a byte-level GGUF has no place for it
    "stop token wrong": Plant(stop_dropped, (*_BYTE_LEVEL, *_SPACES)),
    "tools of the template altered": Plant(tools_altered, ("qwen3",), check="template"),
}


# The same in the keys of a finished GGUF: each gives the keys that change.

_GGML = "tokenizer.ggml."
_CONTROL, _NORMAL = 3, 1


def _swapped(keys: Content, name: str, one: int, other: int) -> Content:
    values = list(keys[_GGML + name])
    assert values[one] != values[other]
    values[one], values[other] = values[other], values[one]
    return {_GGML + name: values}


def _markers(keys: Content) -> list[int]:
    """The ids of the tokens that the file calls control tokens, and no others' places."""
    return [number for number, kind in enumerate(keys[_GGML + "token_type"]) if kind == _CONTROL]


def keys_merges(keys: Content) -> Content:
    """The order of merges; sentencepiece's is that of its scores."""
    if _GGML + "merges" in keys:
        return _swapped(keys, "merges", 2, 4000)
    first = list(keys[_GGML + "tokens"]).index("er")  # words that begin with \u2581t come about without it too
    return _swapped(keys, "scores", first, first + 4000)


def keys_special(keys: Content) -> Content:
    """The last marker is not a marker any more."""
    types = list(keys[_GGML + "token_type"])
    types[_markers(keys)[-1]] = _NORMAL
    return {_GGML + "token_type": types}


def keys_begin(keys: Content) -> Content:
    bos = keys.get(_GGML + "bos_token_id", _markers(keys)[0])
    return {_GGML + "add_bos_token": not keys.get(_GGML + "add_bos_token", False), _GGML + "bos_token_id": bos}


def keys_tools(keys: Content) -> Content:
    template = keys["tokenizer.chat_template"]
    assert "<tool_response>" in template
    return {"tokenizer.chat_template": template.replace("<tool_response>", "<tool_result>")}


GGUF_PLANTS: dict[str, Callable[[Content], Content]] = {
    "merges swapped": keys_merges,
    "vocabulary swapped": lambda keys: _swapped(keys, "tokens", 1000, 2000),
    "added token moved": lambda keys: _swapped(keys, "tokens", *_markers(keys)[1:3]),
    "normalizer removed": lambda keys: {_GGML + "add_space_prefix": False},
    "begin flipped": keys_begin,
    "special flag flipped": keys_special,
    "prefix removed": lambda keys: {_GGML + "add_space_prefix": False},
    "stop token wrong": lambda keys: {_GGML + "eos_token_id": 1000},
    "tools of the template altered": keys_tools,
}

"""Which ids begin and end a text, and where generation stops.

GGUF has room for three ids that end a generation: eos, eot (end of turn) and eom (end of message). llama.cpp stops at these,
and at every token whose text it knows as an end (`src/llama-vocab.cpp`, "special_eog_ids"). A checkpoint's list of ends is
spread over the three keys; what llama.cpp finds by its text needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .tokenizer_files import ROLES, Files

Encode = Callable[[str, bool], list[int]]
"""(text, with what the post-processor adds) → ids."""

ENDS_BY_TEXT = frozenset(
    {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
        "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
        "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
    }
)  # fmt: skip
"""Texts at which the current llama.cpp stops. A key is spent on those too that older versions did not know, if one is free."""


def ends(config: Mapping[str, Any], generation_config: Mapping[str, Any]) -> list[int]:
    """Return the ids that end a generation, as transformers takes them: generation_config.json, else config.json."""
    for table in (generation_config, config):
        stated = table.get("eos_token_id")
        ids = stated if isinstance(stated, list) else [stated]
        found = [number for number in ids if type(number) is int and number >= 0]
        if found:
            return list(dict.fromkeys(found))
    return []


def special_ids(
    files: Files, config: Mapping[str, Any], generation_config: Mapping[str, Any], tokens: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Return role → id, and notes on ends for which no key is left.

    Args:
        files: the tokenizer's.
        config: config.json.
        generation_config: generation_config.json.
        tokens: text of each id.
    """
    by_text = {token: number for number, token in enumerate(tokens)}
    found: dict[str, int] = {}
    for role in ROLES:
        text = files.special(role)
        number = by_text.get(text) if text is not None else config.get(f"{role}_token_id")
        if type(number) is int and 0 <= number < len(tokens):
            found[role] = number
    listed = [number for number in ends(config, generation_config) if number < len(tokens)]
    if listed and found.get("eos") not in listed:
        found["eos"] = listed[0]
    rest = [number for number in listed if number != found["eos"]]
    rest.sort(key=lambda number: tokens[number] in ENDS_BY_TEXT)  # a stable sort: those that need a key come first
    found.update(zip(("eot", "eom"), rest, strict=False))
    lost = [tokens[number] for number in rest[2:] if tokens[number] not in ENDS_BY_TEXT]
    notes = (
        [f"GGUF has no key for a fourth end of generation: {', '.join(lost)} will not stop llama.cpp."] if lost else []
    )
    return found, notes


@dataclass(frozen=True)
class Frame:
    """What stands around each text that the checkpoint's tokenizer encodes.

    `flags` says it in GGUF's terms: add_bos_token and add_eos_token, always stated, since llama.cpp's defaults differ by kind of
    vocabulary.
    """

    before: list[int]
    after: list[int]
    flags: dict[str, bool]
    notes: list[str]


def frame(files: Files, encode: Encode, ids: Mapping[str, int]) -> Frame:
    """Find out what is put around a text.

    Args:
        files: the tokenizer's.
        encode: runs tokenizer.json.
        ids: role → id.
    """
    stated = {role: files.config.get(f"add_{role}_token") for role in ("bos", "eos")}
    if any(f"add_{role}_token" in files.config for role in stated):
        # transformers then makes a post-processor of its own from the two
        before, after = ([ids[role]] if stated[role] and role in ids else [] for role in ("bos", "eos"))
    else:
        bare, whole = encode("a", False), encode("a", True)
        at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
        before, after = whole[:at], whole[at + len(bare) :]
    flags = {"add_bos_token": before == [ids.get("bos")], "add_eos_token": after == [ids.get("eos")]}
    notes = [
        f"The checkpoint's tokenizer puts the ids {given} {where} each text; llama.cpp puts none."
        for given, flag, where in ((before, "add_bos_token", "in front of"), (after, "add_eos_token", "behind"))
        if given and not flags[flag]
    ]
    return Frame(before, after, flags, notes)

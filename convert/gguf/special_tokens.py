"""Which ids begin and end a text, and where generation stops.

GGUF has room for three ids that end a generation: eos, eot (end of turn) and eom (end of message). llama.cpp stops at these,
and at every token whose text it knows as an end (`src/llama-vocab.cpp`, "special_eog_ids"). A checkpoint's list of ends is
spread over the three keys; what llama.cpp finds by its text needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.tokenizer_files import ROLES, Files

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
_ENDS_OF_TURN = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<EOT>", "_<EOT>", "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
)  # fmt: skip
_ENDS_OF_MESSAGE = ("<|eom_id|>",)


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
    unknown = [number for number in rest if tokens[number] not in ENDS_BY_TEXT]
    found.update(zip(("eot", "eom"), unknown, strict=False))  # those that need a key come first
    if "eos" in found:
        # Llama 3.1's three ends have a role each; an end of turn may be the end of generation too
        found |= _by_text(tokens, rest, found["eos"]) | {role: found[role] for role in ("eot", "eom") if role in found}
    lost = [tokens[number] for number in unknown[2:]]
    quoted = ", ".join(map(repr, lost))
    notes = [f"GGUF has no key for a fourth end of generation: {quoted} will not stop llama.cpp."] if lost else []
    return found, notes


def _by_text(tokens: Sequence[str], rest: Sequence[int], eos: int) -> dict[str, int]:
    """Return the ends whose texts say what they end; one that llama.cpp knows by its text gets a key that is free else."""
    left = [number for number in rest if tokens[number] in ENDS_BY_TEXT]
    message = next((number for number in left if tokens[number] in _ENDS_OF_MESSAGE), None)
    left = [number for number in left if number != message]
    turn = next((number for number in left if tokens[number] in _ENDS_OF_TURN), None)
    if turn is None and left:
        turn = eos if tokens[eos] in _ENDS_OF_TURN else left[0]
    if message is None:
        message = next((number for number in left if turn not in (number, eos)), None)
    return {role: number for role, number in {"eot": turn, "eom": message}.items() if number is not None}


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
    stated = files.frame_flags()
    if stated is not None:
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

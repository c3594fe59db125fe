"""Which tokens of a BPE a text can reach, as openvino_tokenizers has to be told, and what each token is as a text.

Its BPE cuts a text into the longest tokens that no merge makes, and joins those by the merges. The original cuts it into
characters (bytes, for a byte-level BPE), so a token that is neither a character nor made by a merge is not reached at all, or
as a whole word alone (`ignore_merges`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

UNREACHABLE = b"\xff"
"""In front of a name: no UTF-8 has this byte."""
_ALIAS = 4
"""Bytes of a name that stands for a whole word: more than any single byte that is a token."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_STAND_INS = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(0x100 + at): byte for at, byte in enumerate(byte for byte in range(256) if byte not in set(_PRINTABLE))
}
"""A byte-level vocabulary writes each byte as a printable character (`bytes_to_unicode` of GPT-2)."""


@dataclass(frozen=True)
class Words:
    """What a BPE is given.

    Attributes:
        tokens: by id, as bytes; one that no text reaches begins with `UNREACHABLE`.
        added: the added tokens, which other steps have cut out of the text, and their ids.
        whole: tokens that are found only if they are a whole word, and their ids.
    """

    tokens: list[bytes]
    added: list[tuple[bytes, int]]
    whole: list[tuple[bytes, int]]

    def aliases(self) -> Iterator[bytes]:
        """Give a name for each of `whole`, all of one length."""
        return (UNREACHABLE + at.to_bytes(_ALIAS - 1, "big") for at in range(len(self.whole)))


def reachable(description: dict[str, Any], backend: Any) -> Words | None:
    """Return the words; None if openvino_tokenizers' own are right, or the BPE is of a kind that is not known here.

    Args:
        description: tokenizer.json.
        backend: the same, as a `tokenizers.Tokenizer`.
    """
    model = description["model"]
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return None
    level, vocabulary = _is_byte_level(description), model["vocab"]
    as_bytes = _from_stand_ins if level else str.encode
    pairs = [_pair(entry) for entry in model["merges"]]
    joined, parts = {left + right for left, right in pairs}, {part for pair in pairs for part in pair}
    added = [(entry["content"].encode(), entry["id"]) for entry in description.get("added_tokens") or []]
    falls_back, cut_out = bool(model.get("byte_fallback")), {text for text, _ in added}
    tokens = [b""] * (max([*vocabulary.values(), *(number for _, number in added)], default=-1) + 1)
    lonely = []
    for text, number in vocabulary.items():
        byte = byte_of(text) if falls_back else None
        if byte is not None and text == f"<0x{byte[0]:02X}>":
            # a character that is a token of its own never becomes a byte
            lost = byte < b"\x80" and byte.decode() in vocabulary
            tokens[number] = UNREACHABLE + text.encode() if lost else byte
        elif len(text) == 1 or text in joined or text in parts:
            tokens[number] = as_bytes(text)
        else:
            tokens[number] = UNREACHABLE + text.encode()
            lonely += [] if text.encode() in cut_out else [text]
    for text, number in added:
        tokens[number] = text
    whole = [(as_bytes(text), number) for text, number in whole_words(backend)] if model.get("ignore_merges") else []
    if not (falls_back or lonely or whole):
        return None
    return Words(tokens, added, whole)


def byte_of(text: str) -> bytes | None:
    """Return the byte that a token such as <0x0A> stands for."""
    found = _BYTE.fullmatch(text)
    return bytes([int(found[1], 16)]) if found else None


def decoded(description: dict[str, Any]) -> list[bytes]:
    """Return by id what the decoder makes of each token before it joins them: its replacements, and bytes as bytes."""
    steps = (
        description["decoder"]["decoders"] if description["decoder"]["type"] == "Sequence" else [description["decoder"]]
    )
    vocabulary = dict(description["model"]["vocab"]) | {
        entry["content"]: entry["id"] for entry in description.get("added_tokens") or []
    }
    texts = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for text, number in vocabulary.items():
        texts[number] = _decoded(text, steps)
    return texts


def _decoded(text: str, steps: list[dict[str, Any]]) -> bytes:
    for step in steps:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            text = text.replace(step["pattern"]["String"], step["content"])
        elif step["type"] == "ByteFallback":
            byte = byte_of(text)
            if byte is not None:
                return byte
        elif step["type"] == "Fuse":
            break
    return text.encode()


def _is_byte_level(description: dict[str, Any]) -> bool:
    step = description.get("pre_tokenizer") or {}
    return any(inner.get("type") == "ByteLevel" for inner in step.get("pretokenizers") or [step])


def _pair(entry: Any) -> tuple[str, str]:
    left, right = entry.split(" ") if isinstance(entry, str) else entry
    return left, right


def _from_stand_ins(text: str) -> bytes:
    """A text with a character that stands for no byte is reached by none."""
    try:
        return bytes(_STAND_INS[char] for char in text)
    except KeyError:
        return UNREACHABLE + text.encode()


def whole_words(backend: Any) -> list[tuple[str, int]]:
    """Return the tokens of a BPE that `ignore_merges` finds in a text and merges do not."""
    model = backend.model
    model.ignore_merges = False
    try:
        vocabulary = backend.get_vocab(with_added_tokens=False)
        return [
            (text, number) for text, number in vocabulary.items() if len(text) > 1 and len(model.tokenize(text)) != 1
        ]
    finally:
        model.ignore_merges = True

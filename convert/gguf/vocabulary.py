"""A vocabulary as GGUF stores it, and the keys that hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.errors import CheckpointError
from ...core.sentencepiece_file import PieceType
from .header import Kind, Value, array, boolean, string, u32

TokenType = PieceType
"""`enum llama_token_type` has sentencepiece's own numbers."""

ID_KEYS = {
    "bos": "bos_token_id", "eos": "eos_token_id", "eot": "eot_token_id", "eom": "eom_token_id",
    "unk": "unknown_token_id", "sep": "seperator_token_id", "pad": "padding_token_id", "mask": "mask_token_id",
}  # fmt: skip
"""Roles and their keys; "seperator" is GGUF's spelling."""


@dataclass(frozen=True)
class Vocabulary:
    """All that llama.cpp needs to tokenize.

    Attributes:
        model: "gpt2" (byte-level BPE), "llama" (sentencepiece's BPE), "bert" (WordPiece) or "t5" (Unigram).
        pre: the pre-tokenizer's name in llama.cpp.
        tokens: text of each id.
        types: kind of each id.
        scores: of each id, for "llama" and "t5".
        merges: pairs joined by a space, best first, for "gpt2".
        special: role → id, for the roles of `ID_KEYS`.
        flags: add_bos_token and the like.
        charsmap: the table by which characters are normalized, for "t5".
        templates: name → chat template; "default" is the one that is used unless another is asked for.
        strips: white space behind markers is swallowed.
        notes: what llama.cpp's tokenizer cannot do as the checkpoint's does.
    """

    model: str
    pre: str
    tokens: Sequence[str]
    types: Sequence[TokenType]
    scores: Sequence[float] | None = None
    merges: Sequence[str] | None = None
    special: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)
    charsmap: bytes | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    strips: bool = False
    notes: tuple[str, ...] = ()

    def keys(self) -> dict[str, Value]:
        """Return the tokenizer's key-value pairs."""
        keys = {
            "ggml.model": string(self.model),
            "ggml.pre": string(self.pre),
            "ggml.tokens": array(Kind.STRING, self.tokens),
            "ggml.token_type": array(Kind.I32, [int(kind) for kind in self.types]),
        }
        if self.scores is not None:
            keys["ggml.scores"] = array(Kind.F32, self.scores)
        if self.charsmap is not None:
            keys["ggml.precompiled_charsmap"] = array(Kind.U8, np.frombuffer(self.charsmap, np.uint8))
        if self.merges is not None:
            keys["ggml.merges"] = array(Kind.STRING, self.merges)
        keys |= {f"ggml.{ID_KEYS[role]}": u32(number) for role, number in self.special.items()}
        keys |= {f"ggml.{name}": boolean(value) for name, value in self.flags.items()}
        others = sorted(self.templates.keys() - {"default"})
        if others:
            keys["chat_templates"] = array(Kind.STRING, others)
            keys |= {f"chat_template.{name}": string(self.templates[name]) for name in others}
        if "default" in self.templates:
            keys["chat_template"] = string(self.templates["default"])
        return {f"tokenizer.{name}": value for name, value in keys.items()}


def padded(size: int, tokens: Mapping[int, str], types: Mapping[int, TokenType]) -> tuple[list[str], list[TokenType]]:
    """Lay tokens out by id; ids without a token become unused ones.

    Args:
        size: rows of the embedding.
        tokens: id → text.
        types: id → kind.

    Raises:
        CheckpointError: an id beyond the embedding, or one text for two ids, at which llama.cpp stops.
    """
    beyond = [number for number in tokens if not 0 <= number < size]
    if beyond:
        raise CheckpointError(
            f"The tokenizer has a token {max(beyond)} ({tokens[max(beyond)]!r}), the model's embedding only {size} rows.",
            "Tokenizer and weights are not of the same model.",
        )
    texts = [tokens.get(number, f"[PAD{number}]") for number in range(size)]
    if len(set(texts)) < size:
        seen: set[str] = set()
        twice = next(text for text in texts if text in seen or seen.add(text))  # type: ignore[func-returns-value]
        raise CheckpointError(f"The tokenizer has two tokens {twice!r}, which llama.cpp does not load.")
    return texts, [types.get(number, TokenType.UNUSED) for number in range(size)]

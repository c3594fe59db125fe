"""Sentencepiece's Unigram (tokenizer.json, as XLM-RoBERTa has it) as a GGUF vocabulary of the model "t5".

llama.cpp normalizes by the same table of characters, merges white space, puts a visible space in front of a text, and takes the
best pieces. Source: `conversion/bert.py`, and `llm_tokenizer_ugm` in `src/llama-vocab.cpp` of llama.cpp.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from ...core.errors import CheckpointError
from ...core.tokenizer_files import Files
from ..alternatives import InexpressibleError
from .special_tokens import special_ids
from .tokenizer_bpe import encoder, kind_of
from .tokenizer_models import UNIGRAM
from .vocabulary import TokenType, Vocabulary, padded

_SPACE = "\u2581"
_MERGED = ("WhitespaceSplit", "Metaspace")
"""The splitting of XLM-RoBERTa: white space of any kind and length is one visible space in front of a word."""


def is_unigram(files: Files) -> bool:
    """True if tokenizer.json holds a Unigram."""
    return files.model.get("type") == "Unigram"


def read(files: Files, size: int, config: Mapping[str, Any], generation_config: Mapping[str, Any]) -> Vocabulary:
    """Read the vocabulary; arguments are those of `tokenizer_bpe.read`.

    Raises:
        CheckpointError: damaged files, or a Unigram that llama.cpp computes otherwise.
    """
    table = _table(files)
    tokens, types, scores = _pieces(files)
    texts, kinds = padded(size, tokens, types)
    special, notes = special_ids(files, config, generation_config, texts)
    before, after = _around(files)
    special |= {"bos": before, "eos": after, "unk": files.model["unk_id"]}
    return Vocabulary(
        model=UNIGRAM,
        pre="default",
        tokens=texts,
        types=kinds,
        scores=[scores.get(number, _UNUSED) for number in range(size)],
        special=special,
        flags={
            "add_bos_token": True,
            "add_eos_token": True,
            "add_space_prefix": True,
            "remove_extra_whitespaces": True,
        },
        charsmap=table,
        templates=files.sound_templates(),
        notes=tuple(notes),
    )


_UNUSED = -10000.0


def _table(files: Files) -> bytes:
    """Return the table of characters by which texts are normalized."""
    normalizer, splitter = files.tokenizer.get("normalizer"), files.tokenizer.get("pre_tokenizer")
    steps = list(_steps(normalizer, "normalizers"))
    if [step.get("type") for step in steps] != ["Precompiled"]:
        raise _refused("texts are normalized by other steps than one table of characters")
    kinds = list(_steps(splitter, "pretokenizers"))
    if tuple(step.get("type") for step in kinds) != _MERGED or kinds[-1].get("prepend_scheme", "always") != "always":
        raise _refused("texts are split otherwise than at white space, with a visible space in front of each word")
    if files.model.get("byte_fallback"):
        raise _refused("it takes bytes for what is unknown")
    try:
        return base64.b64decode(str(steps[0].get("precompiled_charsmap")), validate=True)
    except binascii.Error as error:
        raise CheckpointError("The table of characters in tokenizer.json is damaged.", "Download it again.") from error


def _steps(step: Any, inner: str) -> Iterator[dict[str, Any]]:
    if isinstance(step, dict):
        if step.get("type") == "Sequence":
            for one in step.get(inner) or []:
                yield from _steps(one, inner)
        else:
            yield step


def _refused(reason: str) -> CheckpointError:
    return InexpressibleError(f"llama.cpp's Unigram is not this tokenizer's: {reason}.", InexpressibleError.usual_hint)


def _pieces(files: Files) -> tuple[dict[int, str], dict[int, TokenType], dict[int, float]]:
    vocab, unknown = files.model.get("vocab"), files.model.get("unk_id")
    try:
        pieces = [(str(text), float(score)) for text, score in vocab]  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise CheckpointError("tokenizer.json has no vocabulary.", "Download the file again.") from error
    if type(unknown) is not int or not 0 <= unknown < len(pieces):
        raise _refused("it has no token for what is unknown")
    tokens = {number: text for number, (text, _) in enumerate(pieces)}
    scores = {number: score for number, (_, score) in enumerate(pieces)}
    types = {**dict.fromkeys(tokens, TokenType.NORMAL), unknown: TokenType.UNKNOWN}
    for number, added in files.added.items():
        tokens[number], types[number] = added.content, kind_of(added)
        scores.setdefault(number, 0.0)
    return tokens, types, scores


def _around(files: Files) -> tuple[int, int]:
    """Return the token in front of each text and the one behind it."""
    encode = encoder(files)
    bare, whole = encode("a", False), encode("a", True)
    if len(whole) != len(bare) + 2 or whole[1:-1] != bare:
        raise _refused("it does not put one token in front of each text and one behind it")
    return whole[0], whole[-1]

"""Sentencepiece's BPE with bytes as a last resort, as a GGUF vocabulary of the model "llama".

The vocabulary comes from tokenizer.json, which is what transformers runs, with the scores of tokenizer.model if the two agree;
without tokenizer.json from tokenizer.model alone. Without tokenizer.model the scores are made from the order of merges: llama.cpp
joins the neighbors whose union scores highest, so a token gets minus the rank of the first merge that makes it. (llama.cpp's own
converter then gives every token the score -1000, by which its tokenizer joins from left to right whatever the merges say.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...core import sentencepiece_file
from ...core.chat_template import ChatTemplate, TemplateFault
from ...core.errors import CheckpointError
from ...core.sentencepiece_file import SentencePiece
from ...core.tokenizer_files import ROLES, Files
from .special_tokens import frame, special_ids
from .tokenizer_bpe import encoder, kind_of
from .tokenizer_models import SENTENCEPIECE_BPE
from .vocabulary import TokenType, Vocabulary, padded

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "\u2581"
ADDED_SCORE = -1000.0
"""Score of added tokens, which are cut out before scores count."""
UNUSED_SCORE = -10000.0


def is_sentencepiece(files: Files) -> bool:
    """True if tokenizer.json is a BPE that falls back to bytes, or if there is only a tokenizer.model."""
    if files.tokenizer:
        return files.model.get("type") == "BPE" and bool(files.model.get("byte_fallback"))
    return files.sentencepiece is not None


def read(files: Files, size: int, config: Mapping[str, Any], generation_config: Mapping[str, Any]) -> Vocabulary:
    """Read the vocabulary; arguments and errors are those of `tokenizer_bpe.read`."""
    model = _sentencepiece(files)
    if files.tokenizer:
        (tokens, types, scores), (prefix, said) = _from_json(files, model), _prefix_space(files)
    elif model:
        (tokens, types, scores), (prefix, said) = _from_model(model), (model.prefix_space, [])
    else:
        raise CheckpointError("tokenizer.model is not a BPE of sentencepiece.", "Add the checkpoint's tokenizer.json.")
    for number, added in files.added.items():
        kind = kind_of(added)
        # llama.cpp compares the tokens that it cuts out first with plain text
        tokens[number] = added.content.replace(_SPACE, " ") if kind is TokenType.USER_DEFINED else added.content
        types[number], scores[number] = kind, ADDED_SCORE
    texts, kinds = padded(size, tokens, types)
    special, notes = special_ids(files, config, generation_config, texts)
    flags, more = _frame(files, special)
    return Vocabulary(
        model=SENTENCEPIECE_BPE,
        pre="default",
        tokens=texts,
        types=kinds,
        scores=[scores.get(number, UNUSED_SCORE) for number in range(size)],
        special=special,
        flags={**flags, "add_space_prefix": prefix},
        templates=files.sound_templates(),
        strips=files.strips(),
        notes=(*notes, *more, *said),
    )


def _sentencepiece(files: Files) -> SentencePiece | None:
    """Read tokenizer.model, if it is a BPE of sentencepiece; beside a tokenizer.json it may be anything."""
    if files.sentencepiece is None:
        return None
    try:
        model = sentencepiece_file.read(files.sentencepiece)
    except CheckpointError:
        if files.tokenizer:
            return None
        raise
    return model if model.is_bpe else None


def _from_model(model: SentencePiece) -> tuple[dict[int, str], dict[int, TokenType], dict[int, float]]:
    tokens = {number: piece.text for number, piece in enumerate(model.pieces)}
    types = {number: piece.type for number, piece in enumerate(model.pieces)}
    return tokens, types, {number: piece.score for number, piece in enumerate(model.pieces)}


def _from_json(
    files: Files, model: SentencePiece | None
) -> tuple[dict[int, str], dict[int, TokenType], dict[int, float]]:
    vocab = files.model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(number) is int for number in vocab.values()):
        raise CheckpointError("tokenizer.json has no vocabulary.", "Download the file again.")
    tokens = {number: text for text, number in vocab.items()}
    types = {n: TokenType.BYTE if _BYTE.fullmatch(text) else TokenType.NORMAL for n, text in tokens.items()}
    unknown = files.model.get("unk_token")
    if unknown in vocab:
        types[vocab[unknown]] = TokenType.UNKNOWN
    if model and all(tokens.get(n, piece.text) == piece.text for n, piece in enumerate(model.pieces)):
        scores = {number: piece.score for number, piece in enumerate(model.pieces)}
        types |= {n: piece.type for n, piece in enumerate(model.pieces) if n in tokens}
    else:
        scores = _scores(files.model, tokens)
    return tokens, types, scores


def _scores(model: Mapping[str, Any], tokens: Mapping[int, str]) -> dict[int, float]:
    """Minus the rank of the first merge that makes a token; a token that none makes comes last."""
    ranks: dict[str, int] = {}
    try:
        merges = model["merges"]
        for rank, pair in enumerate(merges):
            left, right = pair.split(" ") if isinstance(pair, str) else pair
            ranks.setdefault(left + right, rank)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "The merges in tokenizer.json are not those of a BPE.", "Download the file again."
        ) from error
    return {number: -float(ranks.get(text, len(merges))) for number, text in tokens.items()}


def _prefix_space(files: Files) -> tuple[bool, list[str]]:
    """Return whether a space goes in front of a text, by the normalizer or the pre-tokenizer, and notes.

    llama.cpp puts one in front of each part between markers, or in front of none.
    """
    scheme = _prepends(files.tokenizer.get("normalizer")) or _prepends(files.tokenizer.get("pre_tokenizer")) or "never"
    if scheme != "first":
        return scheme == "always", []
    put = not _begins_with_marker(files)
    where = "behind every marker too" if put else "in front of no text"
    return put, [
        f"The checkpoint's tokenizer puts a space in front of the first word alone; llama.cpp puts one {where}."
    ]


def _prepends(step: Any) -> str | None:
    """Return "always", "first" or "never"; None for a step that says nothing of it."""
    if not isinstance(step, dict):
        return None
    inner = step.get("normalizers") or step.get("pretokenizers") or []
    if inner:
        return next((found for found in map(_prepends, inner) if found), None)
    if step.get("type") == "Prepend" and step.get("prepend") == _SPACE:
        return "always"
    if step.get("type") != "Metaspace":
        return None
    old = "always" if step.get("add_prefix_space", True) else "never"
    return str(step.get("prepend_scheme", old))


def _begins_with_marker(files: Files) -> bool:
    """True if the chat template writes a special token first: then a chat has no first word."""
    template = files.templates().get("default")
    if template is None:
        return False
    roles = {f"{role}_token": files.special(role) or "" for role in ROLES}
    messages = [{"role": "user", "content": "a"}]
    try:
        text = ChatTemplate(template).render(messages=messages, add_generation_prompt=True, **roles)
    except TemplateFault:
        return False
    return text.startswith(tuple(token.content for token in files.added.values() if token.special))


def _frame(files: Files, special: Mapping[str, int]) -> tuple[dict[str, bool], list[str]]:
    """As the checkpoint's tokenizer does."""
    around = frame(files, encoder(files) if files.tokenizer else _nothing, special)
    return around.flags, around.notes


def _nothing(text: str, special: bool) -> list[int]:
    """Stand for an encoder where no post-processor has a say."""
    raise AssertionError(f"a tokenizer.model has no post-processor: {text}, {special}")

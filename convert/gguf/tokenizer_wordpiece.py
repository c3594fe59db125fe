"""BERT's WordPiece (tokenizer.json) as a GGUF vocabulary of the model "bert".

llama.cpp marks the first piece of a word, by a visible space in front, where BERT marks the others ("##"). It lowers case, takes
accents away and parts ideograms always (newer versions ask a key whether to lower), and puts the begin token and the separator
around each text. Source: `conversion/bert.py`, and `llm_tokenizer_wpm_session` in `src/llama-vocab.cpp` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import CheckpointError
from ...core.tokenizer_files import Files
from ..alternatives import InexpressibleError
from .special_tokens import special_ids
from .tokenizer_bpe import encoder, kind_of
from .tokenizer_models import WORDPIECE
from .vocabulary import TokenType, Vocabulary, padded

_SPACE = "\u2581"
_INSIDE = "##"
_PRE = "jina-v2-en"
"""The converter's name of BERT's splitting; llama.cpp reads none for a vocabulary of this kind."""
_ALWAYS = {"clean_text": True, "handle_chinese_chars": True, "lowercase": True}
"""What BERT's normalizer has to do, since llama.cpp always does."""


def is_wordpiece(files: Files) -> bool:
    """True if tokenizer.json holds a WordPiece."""
    return files.model.get("type") == "WordPiece"


def written(token: str, kind: TokenType) -> str:
    """Return a token of the vocabulary as llama.cpp has it: with a visible space in front if a word begins with it."""
    if kind is not TokenType.NORMAL:
        return token
    return token.removeprefix(_INSIDE) if token.startswith(_INSIDE) else _SPACE + token


def read(files: Files, size: int, config: Mapping[str, Any], generation_config: Mapping[str, Any]) -> Vocabulary:
    """Read the vocabulary; arguments are those of `tokenizer_bpe.read`.

    Raises:
        CheckpointError: damaged files, or a WordPiece that llama.cpp computes otherwise.
    """
    _require_berts(files)
    tokens, types = _tokens(files)
    texts, kinds = padded(size, tokens, types)
    special, notes = special_ids(files, config, generation_config, texts)
    before, after = _around(files)
    special |= {"bos": before, "sep": after}
    return Vocabulary(
        model=WORDPIECE,
        pre=_PRE,
        tokens=texts,
        types=kinds,
        special=special,
        flags={"normalizer.lowercase": True},
        templates=files.sound_templates(),
        notes=tuple(notes),
    )


def _require_berts(files: Files) -> None:
    normalizer, splitter = (files.tokenizer.get(name) or {} for name in ("normalizer", "pre_tokenizer"))
    if normalizer.get("type") != "BertNormalizer" or splitter.get("type") != "BertPreTokenizer":
        raise _refused("it does not split texts as BERT does")
    for name, needed in _ALWAYS.items():
        if normalizer.get(name, needed) is not needed:
            raise _refused(f"its normalizer has {name} off, and llama.cpp does this always")
    if normalizer.get("strip_accents") is False:
        raise _refused("it keeps accents, and llama.cpp takes them away always")
    if files.model.get("continuing_subword_prefix", _INSIDE) != _INSIDE:
        raise _refused("it marks the pieces inside a word in another way than by ##")


def _refused(reason: str) -> CheckpointError:
    return InexpressibleError(
        f"llama.cpp's WordPiece is not this tokenizer's: {reason}.", InexpressibleError.usual_hint
    )


def _tokens(files: Files) -> tuple[dict[int, str], dict[int, TokenType]]:
    vocab = files.model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(number) is int for number in vocab.values()):
        raise CheckpointError("tokenizer.json has no vocabulary.", "Download the file again.")
    types = dict.fromkeys(vocab.values(), TokenType.NORMAL)
    types |= {number: kind_of(added) for number, added in files.added.items()}
    names = {number: text for text, number in vocab.items()}
    names |= {number: added.content for number, added in files.added.items()}
    return {number: written(text, types[number]) for number, text in names.items()}, types


def _around(files: Files) -> tuple[int, int]:
    """Return the token in front of each text and the one behind it, which llama.cpp always puts."""
    encode = encoder(files)
    bare, whole = encode("a", False), encode("a", True)
    if len(whole) != len(bare) + 2 or whole[1:-1] != bare:
        raise _refused("it does not put one token in front of each text and one behind it")
    return whole[0], whole[-1]

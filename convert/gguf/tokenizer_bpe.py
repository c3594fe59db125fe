"""Byte-level BPE (tokenizer.json) as a GGUF vocabulary of the model "gpt2".

Follows `conversion/base.py::get_vocab_base` and `gguf-py/gguf/vocab.py::SpecialVocab` of llama.cpp; differs in add_bos_token and
add_eos_token, which are what the checkpoint's tokenizer does, and in the ids that end a generation (`special_tokens`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...core import tokenizer_trial
from ...core.errors import CheckpointError
from ...core.tokenizer_files import Added, Files
from . import pretokenizer
from .special_tokens import Encode, frame, special_ids
from .tokenizer_models import BYTE_LEVEL_BPE
from .vocabulary import TokenType, Vocabulary, padded

_LOOKS_SPECIAL = re.compile(r"<\|.*\|>|<｜.*｜>|<unused.*>|<pad>|<mask>|<2mass>|\[@BOS@\]", re.DOTALL)


def is_byte_level(files: Files) -> bool:
    """True if tokenizer.json holds a BPE over the bytes' stand-in characters."""
    steps = [files.tokenizer.get("decoder"), files.tokenizer.get("pre_tokenizer")]
    return files.model.get("type") == "BPE" and any(_mentions(step, "ByteLevel") for step in steps)


def read(
    files: Files,
    size: int,
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
    *,
    pre: str | None = None,
) -> Vocabulary:
    """Read the vocabulary.

    Args:
        files: the tokenizer's.
        size: rows of the embedding.
        config: config.json.
        generation_config: generation_config.json.
        pre: the pre-tokenizer's name, if the user states it.

    Raises:
        CheckpointError: damaged files, or a tokenizer that llama.cpp cannot imitate.
        UsageError: an unknown `pre`.
    """
    tokens, types = padded(size, *_tokens(files))
    special, notes = special_ids(files, config, generation_config, tokens)
    encode = encoder(files)
    around = frame(files, encode, special)
    if pretokenizer.is_nfc(files.tokenizer.get("normalizer")):
        notes.append("The checkpoint's tokenizer composes characters (NFC) first; llama.cpp does not.")
    probe = [*around.before, *encode(pretokenizer.PROBE, False), *around.after]
    name = pretokenizer.choose(files.tokenizer, probe, has_bos="bos" in special, forced=pre)
    return Vocabulary(
        model=BYTE_LEVEL_BPE,
        pre=name,
        tokens=tokens,
        types=types,
        merges=merges(files.model),
        special=special,
        flags=around.flags,
        templates=files.sound_templates(),
        strips=files.strips(),
        notes=(*notes, *around.notes),
    )


def encoder(files: Files) -> Encode:
    """Return a function (text, special tokens too) → ids that runs tokenizer.json as it is. Raises CheckpointError."""
    from tokenizers import Tokenizer

    tokenizer_trial.require_bounded(files.tokenizer)
    try:
        with tokenizer_trial.panics_as_errors():
            tokenizer = Tokenizer.from_file(str(files.folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing more specific
        raise CheckpointError(f"tokenizer.json cannot be loaded: {error}.", "Download the file again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(text: str, special: bool) -> list[int]:
        try:
            with tokenizer_trial.panics_as_errors():
                return list(tokenizer.encode(text, add_special_tokens=special).ids)
        except Exception as error:  # likewise
            raise CheckpointError(
                f"tokenizer.json cannot encode {text[:40]!r}: {error}.", "Download the file again."
            ) from error

    return encode


def kind_of(token: Added) -> TokenType:
    """Return the type of an added token; some checkpoints forget to call a marker special, as llama.cpp's converter knows."""
    special = token.special or _LOOKS_SPECIAL.fullmatch(token.content)
    return TokenType.CONTROL if special else TokenType.USER_DEFINED


def merges(model: Mapping[str, Any]) -> list[str]:
    """Return the merges as GGUF writes them. Raises CheckpointError for a list that is none."""
    try:
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
        return [_joined(left, right) for left, right in pairs]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "The merges in tokenizer.json are not those of a BPE.", "Download the file again."
        ) from error


def _joined(left: str, right: str) -> str:
    """Join a merge's parts by a space; a space inside a part is written as its stand-in."""
    if " " in left + right:
        left, right = (part.replace(" ", chr(ord(" ") + 256)) for part in (left, right))
    return f"{left} {right}"


def _tokens(files: Files) -> tuple[dict[int, str], dict[int, TokenType]]:
    vocab = files.model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(number) is int for number in vocab.values()):
        raise CheckpointError("tokenizer.json has no vocabulary.", "Download the file again.")
    tokens = {number: text for text, number in vocab.items()}
    types = dict.fromkeys(tokens, TokenType.NORMAL)
    for number, added in files.added.items():
        tokens[number] = added.content
        types[number] = kind_of(added)
    return tokens, types


def _mentions(step: Any, kind: str) -> bool:
    if not isinstance(step, dict):
        return False
    inner = step.get("pretokenizers") or step.get("decoders") or []
    return step.get("type") == kind or any(_mentions(part, kind) for part in inner)

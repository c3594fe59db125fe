"""The name of a byte-level BPE tokenizer's pre-tokenizer in llama.cpp.

llama.cpp carries its pre-tokenizers in code, under names. Its converter knows a tokenizer by a digest of what a probe text
becomes; ours does the same, and for an unknown digest compares the expressions in tokenizer.json with those behind the names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import CheckpointError, UsageError
from .pretokenizer_digests import BY_DIGEST, NAMES

PROBE = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙 "
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 កាន់តែពិសេសអាច😁 ?我想在apple工作1314151天～ ------======= "
    "нещо на Български ''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? "
    "'M not sure I'll make it, 'D you like some tea? We'Ve a'lL"
)
"""The probe of `conversion/base.py::get_vocab_base_pre`."""

_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_REST_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
QWEN2 = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
_REST_MARKS = r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}|{_REST_MARKS}"
TEKKEN = rf"{_UPPER}*{_LOWER}+|{_UPPER}+{_LOWER}*|\p{{N}}|{_REST_SLASH}"
GPT4O = rf"{_UPPER}*{_LOWER}+{_SHORT}?|{_UPPER}+{_LOWER}*{_SHORT}?|\p{{N}}{{1,3}}|{_REST_SLASH}"
DIGITS = r"\p{N}"


@dataclass(frozen=True)
class _Names:
    """Names that stand for one splitting: with merges taken one by one, and with whole words looked up first.

    The second is given with a begin token and without one, because some names imply an id for it.
    """

    plain: str | None = None
    whole: str | None = None
    whole_without_bos: str | None = None


BY_SPLITTING = {
    (LLAMA3,): _Names("chatglm-bpe", "llama-bpe", "glm4"),
    (QWEN2,): _Names("qwen2"),
    (QWEN35,): _Names("qwen35"),
    (GPT2,): _Names("gpt-2"),
    (DIGITS, GPT2): _Names("smollm"),
    (GPT4O,): _Names("gpt-4o"),
    (TEKKEN,): _Names(None, "tekken", "tekken"),
}
"""Expressions, in order → names. Each name was read in `llm_tokenizer_bpe` and `llama_vocab::impl::load` of llama.cpp."""


def choose(tokenizer: dict[str, Any], probe_ids: Sequence[int], *, has_bos: bool, forced: str | None = None) -> str:
    """Return the pre-tokenizer's name.

    Args:
        tokenizer: tokenizer.json.
        probe_ids: what `PROBE` becomes, special tokens included.
        has_bos: the tokenizer has a begin token.
        forced: a name that the user states.

    Raises:
        UsageError: `forced` is not a name that llama.cpp knows.
        CheckpointError: no name fits.
    """
    if forced is not None:
        if forced not in NAMES:
            raise UsageError(f"llama.cpp has no pre-tokenizer {forced!r}.", f"One of: {', '.join(sorted(NAMES))}.")
        return forced
    known = BY_DIGEST.get(digest(probe_ids))
    if known:
        return known
    try:
        parts = splitting(tokenizer.get("pre_tokenizer"))
        require_plain(tokenizer.get("normalizer"))
    except Unlike as reason:
        raise _unknown(str(reason)) from reason
    names = BY_SPLITTING.get(parts, _Names())
    whole = names.whole if has_bos else names.whole_without_bos
    name = whole if tokenizer["model"].get("ignore_merges") else names.plain
    if name is None:
        raise _unknown(f"its expressions are not among the known ones: {' then '.join(parts) or 'none'}")
    return name


def digest(ids: Sequence[int]) -> str:
    """Return the SHA-256 by which llama.cpp's converter knows a tokenizer."""
    return hashlib.sha256(str(list(ids)).encode()).hexdigest()


class Unlike(Exception):  # noqa: N818 - a reason, not an error
    """Why a tokenizer's steps cannot be compared."""


def splitting(step: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the expressions by which a pre-tokenizer of tokenizer.json cuts, in order. Raises Unlike for other steps."""
    kind = (step or {}).get("type")
    if step is None or kind is None:
        return ()
    if kind == "Sequence":
        return tuple(part for inner in step["pretokenizers"] for part in splitting(inner))
    if kind == "ByteLevel":
        if step.get("add_prefix_space"):
            raise Unlike("it puts a space in front of a text")
        return (GPT2,) if step.get("use_regex", True) else ()
    if kind == "Digits" and step.get("individual_digits"):
        return (DIGITS,)
    if kind == "Split" and "Regex" in step.get("pattern", {}) and _keeps_all(step):
        return (step["pattern"]["Regex"].replace("\r", r"\r").replace("\n", r"\n"),)
    raise Unlike(f"it has a step {kind} that cannot be compared")


def _keeps_all(step: dict[str, Any]) -> bool:
    """True for "matches are pieces", and for "what lies between matches goes": the same if the expression covers every text."""
    return (step.get("behavior"), bool(step.get("invert"))) in (("Isolated", False), ("Removed", True))


def require_plain(normalizer: dict[str, Any] | None) -> None:
    """Raise Unlike for a normalizer that changes ordinary text."""
    if normalizer is not None and not isinstance(normalizer, dict):
        raise Unlike("its normalizer is not an object")
    if normalizer is not None and not is_nfc(normalizer) and normalizer.get("normalizers") != []:
        raise Unlike(f"its normalizer {normalizer.get('type')} has no counterpart in llama.cpp")


def is_nfc(normalizer: dict[str, Any] | None) -> bool:
    """True if all that a normalizer does is to compose characters."""
    if normalizer is None:
        return False
    inner = normalizer.get("normalizers", [normalizer]) if normalizer.get("type") == "Sequence" else [normalizer]
    return bool(inner) and all(step.get("type") == "NFC" for step in inner)


def _unknown(reason: str) -> CheckpointError:
    return CheckpointError(
        f"The pre-tokenizer of this checkpoint is not known to llama.cpp's converter: {reason}.",
        "If you know which of llama.cpp's names is right, state it with --pre NAME.",
    )

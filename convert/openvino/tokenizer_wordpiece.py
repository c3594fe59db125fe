"""Mend the normalization that openvino_tokenizers makes of BERT's: what is cleaned away, what is a Chinese character, lower case.

Its converter leaves private characters in a text, takes every character of the Han script for an ideogram, and folds
case where BERT lowers it: ß becomes ss, ς becomes σ, µ becomes μ. Read and measured with openvino_tokenizers 2026.4.1
(`python/openvino_tokenizers/hf_parser.py`) and `tokenizers/src/normalizers/bert.rs`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_CLEANED = r"([\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F\p{Cf}])"
_HAN = r"([\p{Han}])"
REPLACED = {
    _CLEANED: r"([\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F\x{FFFD}\p{Cf}\p{Co}])",
    _HAN: r"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}"
    r"\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}])",
}
"""Pattern of the converter → the one that BERT's normalizer has."""
_LAST = 0x1FFFF
"""Of the characters that have case."""
_HALVES = 0xD800, 0xDFFF
_FIRST = 0xE000
"""Of the private characters that stand for letters while case is folded; a text that was cleaned has none."""


def kept(vocabulary: Iterable[str]) -> list[str]:
    """Return the letters of a vocabulary that folding case would change, and lowering does not."""
    letters = {letter for word in vocabulary for letter in word if letter > "\x7f"}
    return sorted(filter(_folds, letters))


def unknown(letters: Iterable[str]) -> str:
    """Return a pattern of all other letters of this kind: a word with one of them has no token, and would get one."""
    folded = {chr(c) for c in range(0x80, _LAST) if not _HALVES[0] <= c <= _HALVES[1] and _folds(chr(c))} - set(letters)
    composed = {chr(c) for c in range(0x80, _LAST) if set(unicodedata.normalize("NFD", chr(c))) & folded}
    return "[" + "".join(f"\\x{{{ord(letter):X}}}" for letter in sorted(folded | composed)) + "]"


def _folds(letter: str) -> bool:
    return letter.casefold() != letter and letter.lower() == letter


def stand_in(number: int) -> str:
    """Return the private character that stands for a letter."""
    return chr(_FIRST + number)

"""What openvino_tokenizers is known to do otherwise than a tokenizer says. Each entry names the versions in which it was seen.

Found by comparing real tokenizers on the corpus, every token of their vocabularies and random texts; what could be mended in the
artifact is mended there and not listed. llama.cpp's list is `known_defects_gguf`.
"""

from __future__ import annotations

import re
import unicodedata

from .reference_tokenizer import ReferenceTokenizer, steps_of
from .runtime_defects import RuntimeDefect

OPENVINO = "openvino_tokenizers"
OPENVINO_VERSIONS = "2026.4"


def _falls_back_to_bytes(reference: ReferenceTokenizer) -> bool:
    """True for a BPE whose unknown characters become tokens such as <0x0A>, as Llama 2 and ChatGLM have them."""
    return bool(reference.model.get("byte_fallback"))


def _splits_digits_then_bytes(reference: ReferenceTokenizer) -> bool:
    """True for Sequence[Digits, ByteLevel with its own regex], as SmolLM2 has it."""
    steps = list(steps_of(reference.description.get("pre_tokenizer")))
    uses_regex = any(step["type"] == "ByteLevel" and step.get("use_regex", True) for step in steps)
    return uses_regex and any(step["type"] == "Digits" for step in steps)


def _one_space_before_digits(text: str) -> str:
    return re.sub(r"\s{2,}(?=(\S))", lambda run: " " if run[1].isnumeric() else run[0], text)


def _no_byte_names(text: str) -> str:
    return re.sub(r"<0x(?=[0-9A-F]{2}>)", "<0y", text)


OPENVINO_DEFECTS: tuple[RuntimeDefect, ...] = (
    RuntimeDefect(
        "white space before digits",
        OPENVINO,
        OPENVINO_VERSIONS,
        "two or more white spaces before a digit",
        "it lets the byte-level split look across the border that the split of digits has made, so they become other tokens",
        applies=_splits_digits_then_bytes,
        without=_one_space_before_digits,
    ),
    RuntimeDefect(
        "names of bytes",
        OPENVINO,
        OPENVINO_VERSIONS,
        "the name of a byte token as a text, such as <0x0A>",
        "it takes the name for that byte",
        applies=_falls_back_to_bytes,
        without=_no_byte_names,
    ),
    RuntimeDefect(
        "normal form in parts",
        OPENVINO,
        OPENVINO_VERSIONS,
        "a letter that is composed with further marks (ê and U+0301 for ế), marks in another order than the canonical one",
        "its NFC replaces sequences that it knows, and neither composes what is composed nor sorts marks",
        applies=lambda reference: any(s["type"] == "NFC" for s in steps_of(reference.description.get("normalizer"))),
        without=lambda text: unicodedata.normalize("NFC", text),
        canary="e\u0301 n\u0303",
    ),
)

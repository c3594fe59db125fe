"""What llama.cpp is known to do otherwise than a tokenizer says. Each entry names the versions in which it was seen.

Most are predictions: a tokenizer.json is changed to what llama.cpp does with it, and must then give llama.cpp's ids.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...convert.gguf.special_tokens import ENDS_BY_TEXT as ENDS_TEXTS
from .known_defects_encoders import of_encoders
from .reference_tokenizer import Description, ReferenceTokenizer, steps_of
from .runtime_defects import RuntimeDefect

LLAMA_CPP = "llama.cpp"
LLAMA_CPP_VERSIONS = "b9190 (cyllama 0.2.18)"
_SPACE = "\u2581"


def _is_byte_level(reference: ReferenceTokenizer) -> bool:
    description = reference.description
    return reference.model.get("type") == "BPE" and any(
        s["type"] == "ByteLevel" for s in steps_of(description["decoder"])
    )


KNOWN_TEXTS = (
    ENDS_TEXTS
    | {
        f"{left}{name}{right}"
        for left, right, names in (
            ("<|", "|>", ("fim_prefix", "fim_suffix", "fim_middle", "fim_pad", "fim_repo", "repo_name", "file_sep")),
            ("<fim-", ">", ("prefix", "suffix", "middle", "pad", "repo")),
            ("<fim_", ">", ("prefix", "suffix", "middle", "pad")),
            ("<｜fim▁", "｜>", ("begin", "hole", "end")),
            ("<", ">", ("PRE", "SUF", "MID", "PAD", "REPO", "reponame")),
            ("▁<", ">", ("PRE", "SUF", "MID")),
        )
        for name in names
    }
    | {"[PAD]", "<|channel|>", "<|constrain|>", "<|message|>", "<|start|>"}
)
"""Texts of tokens whose kind llama.cpp knows better than the file (src/llama-vocab.cpp)."""
ENDS_BY_TEXT = RuntimeDefect(
    "ends by their texts",
    LLAMA_CPP,
    LLAMA_CPP_VERSIONS,
    "answers that hold these tokens",
    "it stops at tokens whose texts it knows as ends, whatever a file says of them",
)
_NORMAL_FORMS = {"NFC", "NFD", "NFKC", "NFKD"}


def _normalizes(reference: ReferenceTokenizer) -> bool:
    steps = steps_of(reference.description.get("normalizer"))
    return _is_byte_level(reference) and any(step["type"] in _NORMAL_FORMS for step in steps)


def _without_normal_forms(description: Description) -> Description:
    kept = [s for s in steps_of(description.get("normalizer")) if s["type"] not in _NORMAL_FORMS]
    return {**description, "normalizer": {"type": "Sequence", "normalizers": kept} if kept else None}


_ENDS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"
_EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "gpt-4o": (
        r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+" + _ENDS
        + r"|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*" + _ENDS
        + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}  # fmt: skip
"""llama.cpp's own expressions (src/llama-vocab.cpp, by the pre-tokenizer's name) where they are not the tokenizers' own."""


def _splitting(pre: str) -> Callable[[Description], Description]:
    splits = [
        {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
        for expression in _EXPRESSIONS[pre]
    ]
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return lambda description: {
        **description,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, last]},
    }


_CLASS = re.compile(r"\[(\^?)((?:\\.|[^\]\\])*)\]")
_SYMBOLS = r"\p{S}"


def _splits_by_symbols(reference: ReferenceTokenizer) -> bool:
    return any(_SYMBOLS in _expression(step) for step in steps_of(reference.description.get("pre_tokenizer")))


def _expression(step: Mapping[str, Any]) -> str:
    return str((step.get("pattern") or {}).get("Regex", "")) if step["type"] == "Split" else ""


def _tilde_no_symbol(description: Description) -> Description:
    """Take ~ out of every class that holds the symbols, and let those that exclude them hold it."""

    def changed(found: re.Match[str]) -> str:
        if _SYMBOLS not in found[2]:
            return found[0]
        return f"(?:{found[0]}|~)" if found[1] else f"[{found[2]}&&[^~]]"

    pre_tokenizer = copy.deepcopy(description["pre_tokenizer"])
    for step in steps_of(pre_tokenizer):
        if _SYMBOLS in _expression(step):
            step["pattern"] = {"Regex": _CLASS.sub(changed, _expression(step))}
    return {**description, "pre_tokenizer": pre_tokenizer}


def _prepends_first(reference: ReferenceTokenizer) -> bool:
    return any(s.get("prepend_scheme") == "first" for s in steps_of(reference.description.get("pre_tokenizer")))


def _prepending_always(description: Description) -> Description:
    changed = copy.deepcopy({"pre_tokenizer": description.get("pre_tokenizer")})
    for step in steps_of(changed["pre_tokenizer"]):
        if step.get("prepend_scheme") == "first":
            step["prepend_scheme"] = "always"
    return {**description, **changed}


def _has_runs_of_spaces(reference: ReferenceTokenizer) -> bool:
    return any(len(t.content) > 1 and not t.content.strip(_SPACE) for t in reference.added.values())


def _no_visible_space(text: str) -> str:
    return text.replace(_SPACE, "_")


@dataclass(frozen=True)
class Markers:
    """Tokens that llama.cpp makes markers, or no markers, because of their texts: id → text."""

    made: Mapping[int, str] = field(default_factory=dict)
    unmade: Mapping[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.made or self.unmade)

    def change(self, description: Description) -> Description:
        """Return a tokenizer that takes them so."""
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        more = [
            {"id": number, "content": content, **flags, "special": special}
            for special, tokens in ((True, self.made), (False, self.unmade))
            for number, content in tokens.items()
        ]
        kept = [t for t in description["added_tokens"] if t["id"] not in self.made and t["id"] not in self.unmade]
        return {**description, "added_tokens": sorted([*kept, *more], key=lambda token: int(token["id"]))}


_OF_EVERY_FILE = (
    RuntimeDefect(
        "no normal form",
        LLAMA_CPP,
        LLAMA_CPP_VERSIONS,
        "letters whose marks are characters of their own (e and U+0301 for é), compatibility forms",
        "it has no Unicode normalization for byte-level vocabularies, so they become other tokens",
        applies=_normalizes,
        as_run=_without_normal_forms,
    ),
    RuntimeDefect(
        "tilde",
        LLAMA_CPP,
        LLAMA_CPP_VERSIONS,
        "the character ~",
        "its expressions do not count ~ among the symbols (\\p{S}), so it is split from what stands beside it",
        applies=_splits_by_symbols,
        as_run=_tilde_no_symbol,
    ),
    RuntimeDefect(
        "space behind markers",
        LLAMA_CPP,
        LLAMA_CPP_VERSIONS,
        "text that follows a special token within a prompt",
        "it puts SentencePiece's space in front of each piece between special tokens; the tokenizer in front of the first "
        "alone",
        applies=_prepends_first,
        as_run=_prepending_always,
    ),
    RuntimeDefect(
        "visible space",
        LLAMA_CPP,
        LLAMA_CPP_VERSIONS,
        "a literal U+2581 (▁) in a text",
        "it takes the character for a space, and finds runs of it that are tokens by spaces alone",
        applies=_has_runs_of_spaces,
        without=_no_visible_space,
    ),
)
"""What llama.cpp does otherwise with any file."""


def of_llama_cpp(pre: str, markers: Markers, looks: Markers) -> list[RuntimeDefect]:
    """Return llama.cpp's list for one file.

    Args:
        pre: the file's pre-tokenizer by llama.cpp's name.
        markers: the tokens that it takes otherwise than the checkpoint because it knows their texts.
        looks: those that GGUFs call markers because they look so.
    """
    engine, versions = LLAMA_CPP, LLAMA_CPP_VERSIONS
    found = [*_OF_EVERY_FILE, *of_encoders(engine, versions)]
    if pre in _EXPRESSIONS:
        found.append(
            RuntimeDefect(
                "splitting into words",
                engine,
                versions,
                "combining marks, and capitals that are not ASCII",
                f"its expression for the splitting {pre!r} knows no marks (\\p{{M}}) and no case but that of ASCII, so words are "
                "cut at other places",
                as_run=_splitting(pre),
            )
        )
    if looks:
        found.append(
            RuntimeDefect(
                "markers by their looks",
                engine,
                versions,
                f"added tokens that are not special, such as {next(iter(looks.made.values()))!r}",
                "GGUFs call added tokens that look like markers control tokens, as llama.cpp's own converter does, so answers "
                "are shown without them",
                as_run=looks.change,
            )
        )
    if markers:
        named = ", ".join(repr(text) for text in [*markers.made.values(), *markers.unmade.values()][:4])
        found.append(
            RuntimeDefect(
                "markers by their texts",
                engine,
                versions,
                f"the texts {named}",
                "it takes these tokens for markers, or for none, by their texts, whatever a file says of them",
                as_run=markers.change,
            )
        )
    return found

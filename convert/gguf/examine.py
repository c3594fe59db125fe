"""What a GGUF says about itself, and what in it looks wrong: any tool's file, before anything runs it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.manifest import TensorEntry
from ..families import registry
from .mix import NARROWER
from .pretokenizer_digests import NAMES
from .read import GgufFile
from .recipe import FILE_TYPES
from .storage import find
from .tokenizer_models import BYTE_LEVEL_BPE

_ROPE_BASE = 10_000
"""What llama.cpp takes for a base of rotary embeddings that is not stated."""
_SHOWN = 16
"""Values of an array that are shown."""


@dataclass(frozen=True)
class Examined:
    """The facts, as (label, text) pairs for a person and by key for a program, and warnings as sentences."""

    facts: dict[str, Any]
    warnings: list[str]

    def rows(self) -> list[tuple[str, str]]:
        """Label and text of each fact that is stated."""
        return [
            (label.replace("_", " "), _text(value))
            for label, value in self.facts.items()
            if value not in (None, [], "")
        ]


def examine(file: GgufFile) -> Examined:
    """Look at keys and table; no tensor is read."""
    if file.arch in ("clip", "imatrix") or _word(file, "general.type") in ("mmproj", "imatrix", "adapter"):
        return Examined(_general(file), [])
    return Examined(_general(file) | _decoder(file) | _vocabulary(file), warnings(file))


def entries(file: GgufFile) -> list[TensorEntry]:
    """Describe all tensors as a manifest does."""
    several = len(file.files) > 1
    return [
        TensorEntry(
            name=info.name,
            shape=list(info.shape),
            precision=info.type,
            group_size=find(info.type).group,
            bytes=info.bytes,
            file=info.file.name if several else None,
        )
        for info in file.tensors.values()
    ]


def bits_per_weight(file: GgufFile) -> float:
    """Return the bits that a weight takes on average, scales included."""
    return sum(info.bytes for info in file.tensors.values()) * 8 / max(1, parameters(file))


def parameters(file: GgufFile) -> int:
    """Return the elements of all tensors."""
    return sum(info.size for info in file.tensors.values())


def file_type(file: GgufFile) -> str | None:
    """Return the name of general.file_type as llama.cpp writes it; of a number that has no name the number."""
    number = file.keys.get("general.file_type")
    if type(number) is not int:
        return None
    from gguf import LlamaFileType

    known: dict[int, str] = {
        int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType
    }
    return known.get(number, str(number))


def _general(file: GgufFile) -> dict[str, Any]:
    return {
        "architecture": _plain(file.arch) or None,
        "name": _word(file, "general.name"),
        "file_type": file_type(file),
        "source": _word(file, "general.source.url") or _word(file, "general.source.repo_url"),
        "license": _word(file, "general.license"),
        "quantized_by": _word(file, "general.quantized_by"),
        "importance_matrix": _word(file, "quantize.imatrix.file"),
        "parts": len(file.files) if len(file.files) > 1 else None,
    }


_DECODER = {
    "context_length": "context_length",
    "embedding_length": "embedding_length",
    "layers": "block_count",
    "heads": "attention.head_count",
    "key_heads": "attention.head_count_kv",
    "head_width": "attention.key_length",
    "rotated_dimensions": "rope.dimension_count",
    "rope_base": "rope.freq_base",
    "rope_scaling": "rope.scaling.type",
    "norm_epsilon": "attention.layer_norm_rms_epsilon",
}
"""Our names of the architecture's keys."""


def _decoder(file: GgufFile) -> dict[str, Any]:
    return {label: _plain(file.own(key)) for label, key in _DECODER.items()}


def _vocabulary(file: GgufFile) -> dict[str, Any]:
    tokens = _tokens(file)
    return {
        "tokenizer": _word(file, "tokenizer.ggml.model"),
        "pre_tokenizer": _word(file, "tokenizer.ggml.pre"),
        "vocabulary": len(tokens) or None,
        "end_tokens": [f"{number} {_token(tokens, number)}" for number in _ends(file)],
        "chat_template": _has_template(file),
    }


def _has_template(file: GgufFile) -> bool:
    return _word(file, "tokenizer.chat_template") is not None


def warnings(file: GgufFile) -> list[str]:
    """Return what looks wrong, of a model that makes text each with what llama.cpp does about it."""
    if not _makes_text(file):
        return _type_wrong(file)
    found = [*_context(file), *_ends_wrong(file), *_pre_wrong(file), *_type_wrong(file)]
    if not _has_template(file):
        found.append("There is no chat template: llama.cpp guesses one.")
    if file.own("rope.freq_base") is None and file.own("rope.dimension_count") is not None:
        found.append(f"The base of the rotary embeddings is not stated: llama.cpp takes {_ROPE_BASE:,}.")
    return found


def _makes_text(file: GgufFile) -> bool:
    """False for an encoder, a model that makes vectors of texts, and one without a tokenizer: of pictures or sounds."""
    return (
        bool(_tokens(file))
        and file.own("attention.causal") is not False
        and file.own("pooling_type") in (None, 0, -1)
        and not file.arch.endswith(("bert", "encoder"))
    )


def _context(file: GgufFile) -> list[str]:
    context, width = file.own("context_length"), file.own("embedding_length")
    if type(context) is not int or context < 1:
        return ["The context length is not stated."]
    if context == width and _is_ambiguous(file.arch):
        return [
            f"The context length of {context:,} is the width of the model: llama.cpp's converter writes that where the config "
            "states no length by the name that it looks for."
        ]
    return []


def _is_ambiguous(arch: str) -> bool:
    """Tell whether llama.cpp's own converter may state the width as the length of the context."""
    family = registry.by_arch(arch)
    return family is not None and family.gguf is not None and family.gguf.width_as_context


def _ends(file: GgufFile) -> list[int]:
    numbers = [file.keys.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    return list(dict.fromkeys(number for number in numbers if type(number) is int))


def _ends_wrong(file: GgufFile) -> list[str]:
    tokens, ends = _tokens(file), _ends(file)
    if not ends:
        return ["No end token is stated: llama.cpp takes a default that may never come."]
    return [
        f"The end token {number} is none of the {len(tokens):,} tokens."
        for number in ends
        if not 0 <= number < len(tokens)
    ]


def _pre_wrong(file: GgufFile) -> list[str]:
    if _word(file, "tokenizer.ggml.model") != BYTE_LEVEL_BPE:
        return []  # other kinds' splitting needs no name
    name = _word(file, "tokenizer.ggml.pre")
    if name in (None, "default"):
        return ["The pre-tokenizer is not stated: llama.cpp splits text in a default way, and answers get worse."]
    if name not in NAMES:
        return [f"The pre-tokenizer {name!r} is none that edgeconv knows of llama.cpp."]
    return []


def _type_wrong(file: GgufFile) -> list[str]:
    """The mixes that we know have a type that most tensors get, or one of smaller blocks where rows are too narrow."""
    number = file.keys.get("general.file_type")
    base = next((kind.base for kind in FILE_TYPES.values() if type(number) is int and kind.number == number), None)
    sums: Counter[str] = Counter()
    for info in file.tensors.values():
        if len(info.shape) > 1:
            sums[info.type] += info.size
    if base is None or not sums or {base, NARROWER.get(base, base)} & set(sums):
        return []
    most, size = sums.most_common(1)[0]
    share = size / sum(sums.values())
    return [
        f"The file calls itself {file_type(file)}, but no matrix is stored so: {share:.0%} of the weights are {most}."
    ]


def _tokens(file: GgufFile) -> list[str]:
    tokens = file.keys.get("tokenizer.ggml.tokens")
    return tokens if isinstance(tokens, list) else []


def _token(tokens: list[str], number: int) -> str:
    return str(_plain(tokens[number])) if 0 <= number < len(tokens) else "?"


def _word(file: GgufFile, key: str) -> str | None:
    """Return a text that prints; None if the key is absent, empty or something else."""
    value = file.keys.get(key)
    return str(_plain(value)) if isinstance(value, str) and value else None


def _plain(value: Any) -> Any:
    """Return what JSON and a terminal can take: of an array its different values, of a text the characters that print."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in np.unique(value)[:_SHOWN].tolist()]
    if isinstance(value, list):
        return [_plain(item) for item in value[:_SHOWN]]
    if isinstance(value, str):
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "present" if value else "none"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""tokenizer.ggml.* of a file, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import CheckpointError
from ..gguf.read import GgufFile
from ..gguf.tokenizer_models import BYTE_LEVEL_BPE, SENTENCEPIECE_BPE
from ..gguf.vocabulary import ID_KEYS, TokenType

_TURN_ENDS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<EOT>", "_<EOT>", "[EOT]")
"""Texts that llama.cpp takes for the end of a turn where no key names one (`src/llama-vocab.cpp`, "special_eot_id")."""
_PHI3 = ("</s>", "<unk>", "<s>", "<|endoftext|>")
"""Tokens by which llama.cpp knows Phi-3's vocabulary; of these only the first swallows white space."""


@dataclass(frozen=True)
class Source:
    """The vocabulary of a file.

    Attributes:
        model: "gpt2" (byte-level BPE) or "llama" (sentencepiece's BPE).
        pre: llama.cpp's name of the pre-tokenizer, for "gpt2".
        tokens: text of each id.
        types: kind of each id.
        scores: of each id, for "llama".
        merges: best first, for "gpt2".
        special: role → id.
        flags: add_bos_token and the like, as far as the file states them.
        strips: markers swallow the white space behind them.
    """

    model: str
    pre: str
    tokens: Sequence[str]
    types: Sequence[int]
    scores: Sequence[float]
    merges: Sequence[str]
    special: dict[str, int]
    flags: dict[str, bool]
    strips: bool

    def ends(self) -> list[int]:
        """Return the ids that end a generation: those that keys name, and an end of turn that llama.cpp knows by its text."""
        named = [self.special[role] for role in ("eos", "eot", "eom") if role in self.special]
        if "eot" not in self.special:
            named += [
                number
                for number, (text, kind) in enumerate(zip(self.tokens, self.types, strict=True))
                if text in _TURN_ENDS and kind == TokenType.CONTROL
            ]
        return list(dict.fromkeys(named))

    def swallows(self, number: int) -> bool:
        """True if a marker swallows the white space behind it."""
        return self.strips and self.tokens[number] not in _PHI3[1:]


def read(file: GgufFile) -> Source:
    """Read and check. Raises CheckpointError for a vocabulary that is absent, damaged or of a kind that is not known."""
    model = file.keys.get("tokenizer.ggml.model")
    if model not in (BYTE_LEVEL_BPE, SENTENCEPIECE_BPE):
        raise CheckpointError(
            f"{file.path.name} has a vocabulary of the kind {model!r}; those of gpt2 (byte-level BPE) and llama (sentencepiece) "
            "can be read.",
            "Convert the original checkpoint.",
        )
    tokens = _texts(file, "tokens")
    types = _numbers(file, "token_type", len(tokens)) or [int(TokenType.NORMAL)] * len(tokens)
    scores = _numbers(file, "scores", len(tokens)) if model == SENTENCEPIECE_BPE else []
    if model == SENTENCEPIECE_BPE and not scores:
        raise _damaged(file, "scores")
    special = {role: file.keys.get(f"tokenizer.ggml.{key}") for role, key in ID_KEYS.items()}
    flags = {
        name: file.keys.get(f"tokenizer.ggml.{name}") for name in ("add_bos_token", "add_eos_token", "add_space_prefix")
    }
    name = str(file.keys.get("general.name", "")).lower()
    return Source(
        model=model,
        pre=str(file.keys.get("tokenizer.ggml.pre", "")),
        tokens=tokens,
        types=types,
        scores=scores,
        merges=_texts(file, "merges") if model == BYTE_LEVEL_BPE else [],
        special={role: n for role, n in special.items() if type(n) is int and 0 <= n < len(tokens)},
        flags={key: value for key, value in flags.items() if isinstance(value, bool)},
        strips=("phi-3" in name or "phi3" in name) and set(_PHI3) <= set(tokens),
    )


def _texts(file: GgufFile, name: str) -> list[str]:
    found: Any = file.keys.get(f"tokenizer.ggml.{name}")
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _damaged(file, name)
    try:
        "".join(found).encode()
    except UnicodeEncodeError as error:
        raise _damaged(file, name) from error
    return found


def _numbers(file: GgufFile, name: str, count: int) -> list[Any]:
    found: Any = file.keys.get(f"tokenizer.ggml.{name}")
    if found is None:
        return []
    if not isinstance(found, np.ndarray) or found.shape != (count,):
        raise _damaged(file, name)
    return list(found.tolist())


def _damaged(file: GgufFile, name: str) -> CheckpointError:
    return CheckpointError(
        f"{file.path.name}: tokenizer.ggml.{name} is absent, or is not what such a list should be.",
        "Convert the original checkpoint.",
    )

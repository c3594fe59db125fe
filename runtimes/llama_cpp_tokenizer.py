"""The tokenizer of a GGUF as llama.cpp runs it, from the package cyllama."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..convert.gguf.tokenizer_models import SENTENCEPIECE_BPE
from .byte_alphabet import from_stand_ins
from .llama_cpp_binding import load


class LlamaCppTokenizer:
    """Encodes, decodes, and knows where an answer ends."""

    def __init__(self, path: Path, *, strips_first: bool = False) -> None:
        """Load.

        Args:
            path: the file; of a split one the first part.
            strips_first: a text begins with a space that is not its own (sentencepiece).

        Raises:
            ArtifactError: llama.cpp does not load it.
        """
        self._model = load(path, repack=False)
        self._strips_first = strips_first
        self._vocabulary: Any = self._model.get_vocab()

    @classmethod
    def of_keys(cls, path: Path, keys: Mapping[str, Any]) -> LlamaCppTokenizer:
        """Load, with what a file's keys say of its first space. Raises ArtifactError."""
        strips = keys.get("tokenizer.ggml.model") == SENTENCEPIECE_BPE and bool(
            keys.get("tokenizer.ggml.add_space_prefix", True)
        )
        return cls(path, strips_first=strips)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the ids of a text in which markers count; `special`: with bos and eos where the file asks for them."""
        return [int(i) for i in self._vocabulary.tokenize(text, special, True)]

    def decode(self, ids: Sequence[int], *, skip: bool) -> str:
        """Return the text of ids; `skip`: without markers.

        Token by token, as llama.cpp's programs write: its function for whole texts also "cleans" spaces before punctuation.
        """
        pieces = [self._piece(i, 0, skip) for i in ids]
        first = next((at for at, piece in enumerate(pieces) if piece), None)
        if self._strips_first and first is not None:
            pieces[first] = self._piece(ids[first], 1, skip)
        return b"".join(pieces).decode("utf-8", "replace")

    def _piece(self, token: int, strip: int, skip: bool) -> bytes:
        text = str(self._vocabulary.token_to_piece(token, strip, not skip))
        if "\ufffd" not in text:
            return text.encode()
        # the binding gives no bytes: a token that is a part of a character comes from the vocabulary then
        whole = str(self._vocabulary.get_text(token))
        return text.encode() if "\ufffd" in whole else _bytes(whole)

    @functools.cached_property
    def stops(self) -> set[int]:
        """The ids at which llama.cpp ends an answer."""
        return {i for i in range(self._vocabulary.n_vocab) if self._vocabulary.is_eog(i)}

    @functools.cached_property
    def controls(self) -> set[int]:
        """The ids of the tokens that llama.cpp takes for markers."""
        return {i for i in range(self._vocabulary.n_vocab) if self._vocabulary.is_control(i)}

    def close(self) -> None:
        """Give the model back."""
        self._vocabulary = None
        self._model.close()


def _bytes(token: str) -> bytes:
    """Return what a token of a byte-level BPE, or a byte of sentencepiece ("<0x0A>"), stands for."""
    byte = re.fullmatch(r"<0x([0-9A-F]{2})>", token)
    return bytes.fromhex(byte[1]) if byte else from_stand_ins(token)

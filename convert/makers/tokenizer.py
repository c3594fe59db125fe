"""The tokenizer of a checkpoint that brings classes of its own: its files, for the class that takes tokenizer.json as it is.

Where there is only a tokenizer.model, tokenizer.json is made of it. Added tokens may stand in the place of pieces that were kept
free ("[UNUSED_TOKEN_145]" of InternLM2 is <|im_start|>): what tokenizer_config.json calls them holds.
Sources: `tokenization_internlm2_fast.py`, `tokenization_internlm3.py` (read, never run).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core import sentencepiece_tokenizer, tokenizer_files
from ...core.errors import CheckpointError
from ...core.sentencepiece_file import Piece, PieceType, SentencePiece
from ...core.tokenizer_files import Added, Files
from ..native_files import write_json

_PLAIN = "PreTrainedTokenizerFast"


def write(folder: Path) -> None:
    """Make the tokenizer's files in a folder, which holds copies of the checkpoint's and config.json, those of that class.

    Raises:
        CheckpointError: a file is damaged, or the added tokens do not fit the vocabulary.
    """
    files = tokenizer_files.read(folder)
    if not files.config and not files.tokenizer and not files.pieces:
        return
    stated: dict[str, Any] = {key: value for key, value in files.config.items() if key != "auto_map"}
    if not files.tokenizer and files.pieces:
        _make(files, files.pieces).save(str(folder / "tokenizer.json"))
        stated = {"add_bos_token": True, "add_eos_token": False, **stated}
    write_json(folder / "tokenizer_config.json", stated | {"tokenizer_class": _PLAIN})


def _make(files: Files, model: SentencePiece) -> Any:
    count = len(model.pieces)
    pieces = [
        replace(piece, text=files.added[number].content, type=_kind(piece, files.added[number]))
        if number in files.added
        else piece
        for number, piece in enumerate(model.pieces)
    ]
    behind = sorted(number for number in files.added if number >= count)
    if behind != list(range(count, count + len(behind))):
        raise CheckpointError(
            f"The added tokens {behind[:3]}… do not follow the {count} pieces of tokenizer.model.",
            "Tokenizer files of different revisions; download all of them again.",
        )
    legacy = files.config.get("legacy") is not False
    return sentencepiece_tokenizer.make(
        replace(model, pieces=pieces),
        files.folder / "tokenizer.model",
        behind=tuple(files.added[number].content for number in behind),
        legacy=legacy,
    )


def _kind(piece: Piece, added: Added) -> PieceType:
    if piece.type is PieceType.UNKNOWN:
        return piece.type
    return PieceType.CONTROL if added.special else PieceType.USER_DEFINED

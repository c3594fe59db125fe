"""Read tokenizer.model, sentencepiece's protocol buffer, without its library: pieces, scores, kinds, and settings.

Schema: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto. Wire format: a field is a varint of
(number << 3 | kind), then a varint, 8 bytes, a length and that many bytes, or 4 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from . import limits
from .errors import CheckpointError

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_MODEL_TYPE, _BPE = 3, 2
_BYTE_FALLBACK = 35
_CHARSMAP, _ADD_DUMMY_PREFIX, _REMOVE_EXTRA_WHITESPACES = 2, 3, 4


class PieceType(IntEnum):
    """`ModelProto.SentencePiece.Type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """One entry: its text, score and kind."""

    text: str
    score: float
    type: PieceType


@dataclass(frozen=True)
class SentencePiece:
    """The model.

    Attributes:
        pieces: by id.
        is_bpe: false for a unigram model, among others.
        prefix_space: a space goes in front of a text.
        byte_fallback: characters without a piece become bytes.
        trims: white space at the ends goes, runs of it become one space.
        charsmap: what characters are replaced by first, in sentencepiece's own form; empty: nothing.
    """

    pieces: list[Piece]
    is_bpe: bool
    prefix_space: bool
    byte_fallback: bool = False
    trims: bool = True
    charsmap: bytes = b""


def read(path: Path) -> SentencePiece:
    """Read a file. Raises CheckpointError if it is not one of sentencepiece."""
    pieces: list[Piece] = []
    trainer: dict[int, int | memoryview] = {}
    normalizer: dict[int, int | memoryview] = {}
    try:
        for number, value in _fields(memoryview(limits.read_bytes(path, limits.VOCABULARY))):
            if number == _PIECES:
                pieces.append(_piece(_message(value)))
            elif number == _TRAINER:
                trainer.update(_fields(_message(value)))
            elif number == _NORMALIZER:
                normalizer.update(_fields(_message(value)))
        charsmap = bytes(_message(normalizer.get(_CHARSMAP, memoryview(b""))))
    except (ValueError, IndexError, struct.error) as error:
        raise CheckpointError(f"{path.name} is not a sentencepiece model.", "Download the file again.") from error
    if not pieces:
        raise CheckpointError(f"{path.name} is not a sentencepiece model.", "Download the file again.")
    return SentencePiece(
        pieces,
        is_bpe=trainer.get(_MODEL_TYPE) == _BPE,
        prefix_space=normalizer.get(_ADD_DUMMY_PREFIX, 1) != 0,
        byte_fallback=trainer.get(_BYTE_FALLBACK, 0) != 0,
        trims=normalizer.get(_REMOVE_EXTRA_WHITESPACES, 1) != 0,
        charsmap=charsmap,
    )


def _piece(data: memoryview) -> Piece:
    text, score, kind = "", 0.0, PieceType.NORMAL
    for number, value in _fields(data):
        if number == 1:
            text = str(_message(value), "utf-8")
        elif number == 2 and isinstance(value, memoryview):
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = PieceType(value)
    return Piece(text, score, kind)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")  # noqa: TRY004 - damaged data, not a wrong call
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Give (number, content) of each field: varints as numbers, everything else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError("not a field")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number of more than 64 bits")

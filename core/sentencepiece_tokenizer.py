"""A sentencepiece model as a tokenizer of the `tokenizers` library that encodes as sentencepiece itself does.

transformers 5 makes one of another shape: runs of spaces become other ids, and a leading space is lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CheckpointError
from .sentencepiece_file import PieceType, SentencePiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "\u2581"
_HINT = "Take the checkpoint's own tokenizer."


def make(model: SentencePiece, path: Path, *, behind: tuple[str, ...] = (), legacy: bool = True) -> Tokenizer:
    """Make the tokenizer.

    Control pieces are found in a text, which sentencepiece never does but all that render a chat template rely on.

    Args:
        model: a BPE.
        path: its file, for messages.
        behind: further special tokens, whose ids follow the pieces.
        legacy: a prefix goes in front of each part of a text between special tokens, as sentencepiece does with each text;
            else in front of the text alone, as classes of transformers do for which tokenizer_config.json says `legacy: false`.

    Raises:
        CheckpointError: it is not BPE, or has a piece twice.
    """
    from tokenizers import AddedToken, Tokenizer, models

    if not model.is_bpe:
        raise CheckpointError(f"{path.name} is not a BPE of sentencepiece.", _HINT)
    vocabulary = {piece.text: number for number, piece in enumerate(model.pieces)}
    if len(vocabulary) != len(model.pieces) or vocabulary.keys() & set(behind):
        raise CheckpointError(f"{path.name} has a piece twice.", "Download the file again.")
    merges = _merges(model, vocabulary)
    vocabulary |= {token: len(model.pieces) + i for i, token in enumerate(behind)}
    unknown = next((piece.text for piece in model.pieces if piece.type is PieceType.UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=model.byte_fallback)
    )
    tokenizer.normalizer, tokenizer.decoder = _around_pieces(model, legacy=legacy)
    if model.prefix_space and not legacy:
        from tokenizers import pre_tokenizers

        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="first", split=False)
    special = (PieceType.CONTROL, PieceType.UNKNOWN)
    for piece in model.pieces:
        if piece.type in (*special, PieceType.USER_DEFINED):
            tokenizer.add_tokens([AddedToken(piece.text, special=piece.type in special, normalized=False)])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in behind])
    return tokenizer


def _merges(model: SentencePiece, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Return the pairs of pieces whose union is a piece: the best union first, as sentencepiece joins them."""
    plain = {piece.text for piece in model.pieces if piece.type is PieceType.NORMAL}
    found: list[tuple[float, int, int, str, str]] = []
    for piece in model.pieces:
        if piece.type is PieceType.NORMAL:
            cuts = ((piece.text[:at], piece.text[at:]) for at in range(1, len(piece.text)))
            pairs = [(left, right) for left, right in cuts if left in plain and right in plain]
            pairs.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
            found += [(piece.score, len(left), len(right), left, right) for left, right in pairs]
    found.sort(key=lambda entry: entry[:3], reverse=True)
    return [(left, right) for *_, left, right in found]


def _around_pieces(model: SentencePiece, *, legacy: bool) -> tuple[Any, Any]:
    """Return what sentencepiece does to a text before it looks for pieces, and to pieces when they become a text again."""
    from tokenizers import Regex, decoders, normalizers

    steps: list[Any] = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    if model.trims:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if model.prefix_space and legacy:
        steps.append(normalizers.Prepend(SPACE))
    if legacy or not model.prefix_space:
        steps.append(normalizers.Replace(" ", SPACE))
    decoding: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.prefix_space:
        decoding.append(decoders.Strip(" ", 1, 0))
    return normalizers.Sequence(steps) if steps else None, decoders.Sequence(decoding)

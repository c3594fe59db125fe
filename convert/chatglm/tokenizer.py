"""A ChatGLM's vocabulary as a tokenizer of the `tokenizers` library, with the ids of the original.

ChatGLM2 and ChatGLM3 (`tokenization_chatglm.py`, class SPTokenizer): the pieces of a sentencepiece model, behind them [MASK],
[gMASK], [sMASK], sop, eop, and for ChatGLM3 the role tokens. The original makes `sop` and `eop` by id alone and never finds them
in a text. A tokenizer that is to read rendered prompts must find them, and would find `eop` in "people" and `sop` in
"philosophy"; so they are called <sop> and <eop> here, as in GLM-4. The others keep their names, and a text that has one gets its
id; the original splits such a text like any other.

GLM-4 (class ChatGLM4Tokenizer): byte-pair ranks as tiktoken stores them, behind them the special tokens. Its texts are split by
Llama 3's expression.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core import limits, sentencepiece_file, sentencepiece_tokenizer
from ...core.errors import CheckpointError
from ...core.json_file import read_json
from ...core.sentencepiece_file import PieceType
from ..gguf.pretokenizer import LLAMA3
from .version import VOCABULARY, Version

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
BEHIND_PIECES = ("[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>")
PREFIX = ("[gMASK]", "<sop>")
"""What stands in front of every text."""
BEHIND_RANKS = (
    "<|endoftext|>", *BEHIND_PIECES, *ROLES,
    "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>",
)  # fmt: skip
MAX_VOCABULARY = 1_000_000


@dataclass(frozen=True)
class ConvertedTokenizer:
    """A tokenizer, the texts of its end and its filler, and the ids that end a generation."""

    tokenizer: Tokenizer
    eos: str
    pad: str
    unk: str | None
    ends: list[int]


def make(folder: Path, version: Version) -> ConvertedTokenizer:
    """Make the tokenizer of a folder with `tokenizer.model`; the version decides on the special tokens.

    Raises:
        CheckpointError: the vocabulary is damaged or of another kind.
    """
    return _of_ranks(folder) if version is Version.GLM4 else _of_pieces(folder, version)


def _of_pieces(folder: Path, version: Version) -> ConvertedTokenizer:
    model = sentencepiece_file.read(folder / VOCABULARY)
    behind = (*BEHIND_PIECES, *(ROLES if version is Version.CHATGLM3 else ()))
    tokenizer = sentencepiece_tokenizer.make(model, folder / VOCABULARY, behind=behind)
    _put_prefix(tokenizer)
    vocabulary = tokenizer.get_vocab()
    unknown = next((piece.text for piece in model.pieces if piece.type is PieceType.UNKNOWN), None)
    end = _required(vocabulary, "</s>")
    stops = [vocabulary[role] for role in ("<|user|>", "<|observation|>") if role in vocabulary]
    return ConvertedTokenizer(tokenizer, "</s>", unknown or "</s>", unknown, [end, *stops])


def _of_ranks(folder: Path) -> ConvertedTokenizer:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers.convert_slow_tokenizer import bytes_to_unicode, generate_merges

    letters = bytes_to_unicode()
    ranks = {"".join(letters[byte] for byte in token): rank for token, rank in _ranks(folder / VOCABULARY).items()}
    tokenizer = Tokenizer(models.BPE(ranks, generate_merges(ranks, None), fuse_unk=False, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = _stated(folder, len(ranks)) or BEHIND_RANKS
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    _put_prefix(tokenizer)
    vocabulary = tokenizer.get_vocab()
    ends = [_required(vocabulary, token) for token in ("<|endoftext|>", "<|user|>", "<|observation|>")]
    return ConvertedTokenizer(tokenizer, "<|endoftext|>", "<|endoftext|>", None, ends)


def _ranks(path: Path) -> dict[bytes, int]:
    """Read a file of `BASE64 RANK` lines (`tiktoken/load.py`, load_tiktoken_bpe)."""
    ranks: dict[bytes, int] = {}
    try:
        for line in limits.read_bytes(path, limits.VOCABULARY).splitlines():
            if line:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
    except (ValueError, binascii.Error) as error:
        raise CheckpointError(
            f"{path.name} is not a list of byte-pair ranks: {error}.", "Download it again."
        ) from error
    whole = sorted(ranks.values()) == list(range(len(ranks)))
    if not whole or len(ranks) > MAX_VOCABULARY or any(bytes([byte]) not in ranks for byte in range(256)):
        raise CheckpointError(f"{path.name} is not a whole list of byte-pair ranks.", "Download the file again.")
    return ranks


def _stated(folder: Path, first: int) -> list[str]:
    """Return the special tokens that tokenizer_config.json lists behind the ranks, if it lists them without a gap."""
    path = folder / "tokenizer_config.json"
    listed = read_json(path).get("added_tokens_decoder") if path.is_file() else None
    if not isinstance(listed, dict):
        return []
    try:
        tokens = {int(number): str(entry["content"]) for number, entry in listed.items()}
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError("The added tokens in tokenizer_config.json are not a list of tokens.") from error
    if sorted(tokens) != [*range(first, first + len(tokens))]:
        return []
    return [tokens[number] for number in sorted(tokens)]


def _put_prefix(tokenizer: Tokenizer) -> None:
    from tokenizers import processors

    ids = [(token, tokenizer.token_to_id(token)) for token in PREFIX]
    if any(number is None for _, number in ids):
        raise CheckpointError(f"The vocabulary lacks {' or '.join(PREFIX)}.", "Take the checkpoint's own tokenizer.")
    around = " ".join(PREFIX)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{around} $A", pair=f"{around} $A $B", special_tokens=ids
    )


def _required(vocabulary: dict[str, int], token: str) -> int:
    if token not in vocabulary:
        raise CheckpointError(f"The vocabulary lacks {token}.", "Take the checkpoint's own tokenizer.")
    return vocabulary[token]

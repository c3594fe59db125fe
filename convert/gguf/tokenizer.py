"""A checkpoint's tokenizer as a GGUF vocabulary, whatever kind of file it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core import tokenizer_files
from ...core.errors import CheckpointError
from . import tokenizer_bpe, tokenizer_spm, tokenizer_unigram, tokenizer_wordpiece
from .vocabulary import Vocabulary


def read(
    folder: Path,
    size: int,
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
    *,
    pre: str | None = None,
) -> Vocabulary:
    """Read the tokenizer of a checkpoint's folder.

    Args:
        folder: with tokenizer.json or tokenizer.model.
        size: rows of the model's embedding.
        config: config.json.
        generation_config: generation_config.json.
        pre: name of the pre-tokenizer in llama.cpp, for a byte-level BPE; None: find out.

    Raises:
        CheckpointError: there is none, it is damaged, or llama.cpp has no tokenizer like it.
        UsageError: `pre` is not a name of llama.cpp's.
    """
    files = tokenizer_files.read(folder)
    files.model_config = {**config, "vocab_size": size}
    if tokenizer_bpe.is_byte_level(files):
        vocabulary = tokenizer_bpe.read(files, size, config, generation_config, pre=pre)
    elif tokenizer_spm.is_sentencepiece(files):
        vocabulary = tokenizer_spm.read(files, size, config, generation_config)
    elif tokenizer_wordpiece.is_wordpiece(files):
        vocabulary = tokenizer_wordpiece.read(files, size, config, generation_config)
    elif tokenizer_unigram.is_unigram(files):
        vocabulary = tokenizer_unigram.read(files, size, config, generation_config)
    elif files.tokenizer:
        kind = files.model.get("type")
        raise CheckpointError(
            f"tokenizer.json holds a tokenizer ({kind}) that is neither a byte-level BPE nor sentencepiece's BPE nor "
            "BERT's WordPiece.",
            "Take the checkpoint with its original tokenizer.",
        )
    elif (folder / "tokenizer.json").is_file():
        raise CheckpointError("tokenizer.json holds no tokenizer.", "Download the file again.")
    else:
        raise CheckpointError(
            f"{folder.name} has neither tokenizer.json nor tokenizer.model.",
            "Load the tokenizer with transformers and save it again: that writes tokenizer.json.",
        )
    notes = [f"{note[0].upper()}{note[1:]}." for note in files.notes()]
    return replace(vocabulary, notes=(*vocabulary.notes, *notes))

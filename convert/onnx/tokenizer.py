"""The tokenizer that goes beside an ONNX model is copied as it is; nothing but this would notice that it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError

NAME = "tokenizer.json"


def check(folder: Path, config: dict[str, Any]) -> None:
    """Open a checkpoint's tokenizer.json, if it has one, as runtimes will.

    Args:
        folder: the checkpoint.
        config: its config.json.

    Raises:
        CheckpointError: the library refuses it, or a token has no row in the table of embeddings.
    """
    if not (folder / NAME).is_file():
        return
    from tokenizers import Tokenizer

    try:
        tokens = Tokenizer.from_file(str(folder / NAME)).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises nothing more exact
        raise CheckpointError(f"{NAME} cannot be read: {error}.", "Download the file again.") from error
    rows, highest = config.get("vocab_size"), max(tokens.values(), default=-1)
    if isinstance(rows, int) and highest >= rows:
        raise CheckpointError(
            f"{NAME} has a token {highest}, but the model's table of embeddings has only {rows} rows.",
            "Tokenizer and config.json are of different models or revisions; download all files again.",
        )

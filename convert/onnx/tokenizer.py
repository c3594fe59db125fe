"""The tokenizer that goes beside an ONNX model is copied as it is; nothing but this would notice that it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError

NAME = "tokenizer.json"


def check(folder: Path, config: dict[str, Any]) -> list[str]:
    """Open a checkpoint's tokenizer.json, if it has one, as runtimes will.

    Args:
        folder: the checkpoint.
        config: its config.json.

    Returns:
        Sentences for the plan.

    Raises:
        CheckpointError: the library refuses it, or a token of its vocabulary has no row in the table of embeddings.
    """
    if not (folder / NAME).is_file():
        return [f"there is no {NAME}, without which `edgeconv chat` and onnxruntime-genai cannot read a prompt"]
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / NAME))
    except Exception as error:  # the library raises nothing more exact
        raise CheckpointError(f"{NAME} cannot be read: {error}.", "Download the file again.") from error
    rows = config.get("vocab_size")
    if not isinstance(rows, int):
        return []
    highest = max(tokenizer.get_vocab(with_added_tokens=False).values(), default=-1)
    if highest >= rows:
        raise CheckpointError(
            f"{NAME} has a token {highest}, but the model's table of embeddings has only {rows} rows.",
            "Tokenizer and config.json are of different models or revisions; download all files again.",
        )
    # Gemma 3 adds a token for pictures, others one for padding, for which the text model has no row
    beyond = sorted(text for text, number in tokenizer.get_vocab(with_added_tokens=True).items() if number >= rows)
    return [f"{NAME} adds {', '.join(beyond[:3])}, for which the model has no row: do not use it"] if beyond else []

"""The tokenizer that goes beside an ONNX model is copied as it is; nothing but this would notice that it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core import tokenizer_files, tokenizer_trial
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
    files = tokenizer_files.read(folder)
    files.model_config |= config
    if not files.tokenizer and files.pieces:
        return files.notes()  # it is made of tokenizer.model
    if not files.tokenizer:
        return [f"there is no {NAME}, without which `edgeconv chat` and onnxruntime-genai cannot read a prompt"]
    from tokenizers import Tokenizer

    tokenizer_trial.require_bounded(files.tokenizer)
    try:
        with tokenizer_trial.panics_as_errors():
            Tokenizer.from_file(str(folder / NAME))
    except Exception as error:  # the library raises nothing more exact
        raise CheckpointError(f"{NAME} cannot be read: {error}.", "Download the file again.") from error
    return files.notes()
